// A job as it moves. Without script the page asks again by itself.
(function () {
  "use strict";
  var place = document.getElementById("progress"), log = document.getElementById("log");
  if (!place || !window.EventSource) return;
  var source = new EventSource(place.dataset.events), last = Number(place.dataset.last || 0);
  var byId = function (id) { return document.getElementById(id); };
  // A refused stream does not come back by itself; then the page asks again, as it does without script.
  source.addEventListener("error", function () {
    if (source.readyState === EventSource.CLOSED) setTimeout(function () { location.reload(); }, 1000 * Number(place.dataset.reload));
  });
  source.addEventListener("progress", function (event) {
    var told = JSON.parse(event.data);
    if (told.is_over) { source.close(); location.reload(); return; }
    // Said aloud when it changes: the step. Speed and time left change every second and are not.
    if (byId("step").textContent !== told.step) byId("step").textContent = told.step;
    byId("status").textContent = told.status;
    byId("status").className = "state " + told.status;
    byId("attempt").textContent = "attempt " + told.attempt;
    byId("attempt").hidden = told.attempt < 2;
    byId("sentence").textContent = told.sentence;
    var bar = byId("bar");
    if (told.share === null) bar.removeAttribute("value");
    else bar.value = told.share;
    told.lines.forEach(function (line) {
      if (line.number <= last) return;
      last = line.number;
      var item = document.createElement("li"), at = document.createElement("time");
      at.textContent = line.at;
      item.appendChild(at);
      item.appendChild(document.createTextNode(line.text));
      log.appendChild(item);
      log.scrollTop = log.scrollHeight;
      log.hidden = false;
    });
  });
})();
