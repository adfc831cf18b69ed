// A job as it moves. Without script the page asks again by itself.
(function () {
  "use strict";
  var place = document.getElementById("progress"), log = document.getElementById("log");
  if (!place || !window.EventSource) return;
  var source = new EventSource(place.dataset.events), last = Number(place.dataset.last || 0);
  var byId = function (id) { return document.getElementById(id); };
  source.addEventListener("progress", function (event) {
    var told = JSON.parse(event.data);
    if (told.is_over) { source.close(); location.reload(); return; }
    byId("step").textContent = told.step;
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
