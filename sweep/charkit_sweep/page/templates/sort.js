for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const compare = (one, other) => {
    if (one.dataset.number !== undefined && other.dataset.number !== undefined) {
      return Number(one.dataset.number) - Number(other.dataset.number);
    }
    if (one.dataset.number !== undefined || other.dataset.number !== undefined) {
      return one.dataset.number !== undefined ? -1 : 1;
    }
    return one.textContent.localeCompare(other.textContent);
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
      const rows = [...body.rows];
      rows.sort((one, other) => turn * compare(one.cells[column], other.cells[column]));
      body.append(...rows);
    });
  });
}
