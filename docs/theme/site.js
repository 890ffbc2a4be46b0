// What mdBook's pages lack for a keyboard and for a screen reader.
(function () {
    "use strict";

    document.getElementById("mdbook-menu-bar")?.setAttribute("role", "banner");

    const search = document.getElementById("mdbook-search-wrapper");
    search?.setAttribute("role", "search");
    document.getElementById("mdbook-searchbar")?.setAttribute("aria-label", "Search");

    // mdBook shows and hides the table of contents by a label, which a keyboard does not reach.
    const label = document.getElementById("mdbook-sidebar-toggle");
    if (label) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = label.className;
        button.innerHTML = label.innerHTML;
        const same = () => {
            for (const name of ["title", "aria-label", "aria-controls", "aria-expanded"]) {
                button.setAttribute(name, label.getAttribute(name) ?? "");
            }
        };
        same();
        new MutationObserver(same).observe(label, { attributes: true });
        button.addEventListener("click", () => label.click());
        label.before(button);
        label.hidden = true;
    }

    // A block that scrolls sideways takes the focus, so that the arrow keys scroll it.
    const blocks = document.querySelectorAll("main pre > code, main .table-wrapper");
    const focusable = () => {
        for (const block of blocks) {
            if (block.scrollWidth > block.clientWidth) {
                block.setAttribute("tabindex", "0");
            } else {
                block.removeAttribute("tabindex");
            }
        }
    };
    window.addEventListener("load", focusable);
    window.addEventListener("resize", focusable);
})();
