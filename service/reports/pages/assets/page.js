// What a page can do beyond being read. Everything is there without it.
(function () {
  "use strict";
  // Closed details would be missing on paper.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open])").forEach(function (part) { part.open = true; opened.push(part); });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (part) { part.open = false; });
    opened = [];
  });

  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var text = document.getElementById(button.dataset.copy).textContent;
      var done = function () { button.textContent = "Copied"; };
      if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(done, function () {});
      else {
        var range = document.createRange();
        range.selectNodeContents(document.getElementById(button.dataset.copy));
        var chosen = window.getSelection();
        chosen.removeAllRanges();
        chosen.addRange(range);
        button.textContent = "Selected";
      }
    });
  });

  // What scrolls must be reachable by keyboard; what does not is no stop.
  function markScrollers() {
    document.querySelectorAll(".scroll, pre, .diff").forEach(function (part) {
      if (part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1) part.tabIndex = 0;
    });
  }
  markScrollers();
  window.addEventListener("resize", markScrollers);
  document.addEventListener("toggle", markScrollers, true);

  // Left and right turn pages, as in other browsers of components.
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    var way = { ArrowRight: "next", ArrowLeft: "prev" }[event.key];
    var link = way && document.querySelector(".pager a[rel=" + way + "]");
    if (link) link.click();
  });

  // j and k go from hunk to hunk, as in other review tools.
  var stops = Array.prototype.slice.call(document.querySelectorAll("[data-stop]"));
  document.querySelectorAll("[data-keys]").forEach(function (hint) { hint.hidden = !stops.length; });
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !stops.length) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    var step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
    if (!step) return;
    var at = stops.indexOf(document.activeElement.closest("[data-stop]"));
    var next = stops[at < 0 ? (step > 0 ? 0 : stops.length - 1) : Math.min(stops.length - 1, Math.max(0, at + step))];
    next.focus();
    next.scrollIntoView({ block: "start" });
    event.preventDefault();
  });
})();
