"""The parts of charkit's pages: layout, style sheet, tables, charts and the formatting of numbers.

A page is one HTML file that needs nothing else and makes no request. No script runs in it, unless its policy names one
by its hash. It is written from a template that extends ``layout.html.jinja`` (see ``template.render``), with tables
(``table``) and charts (``charts``) whose lines and rows belong to series (``series``): the variants of a comparison,
or runs.

matplotlib and jinja2 are imported where they are used.
"""
