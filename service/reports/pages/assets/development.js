// One map that moves from checkpoint to checkpoint. The grid of all of them stands on the page without this.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("development").textContent);
  var isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function draw(player) {
    var view = data.views[Number(player.dataset.player)], stage = player.querySelector(".stage");
    var slider = player.querySelector("[data-slider]"), shown = player.querySelector("[data-step]"), told = player.querySelector("[data-told]");
    var method = player.querySelector("[data-method]"), find = player.querySelector("[data-find]"), play = player.querySelector("[data-play]");
    var space = stage.namespaceURI, trail = document.createElementNS(space, "path"), chosen = -1, only = {}, wanted = "", timer = 0, frame = 0;
    var at = []; // where every dot is drawn now
    trail.setAttribute("class", "trail");
    stage.appendChild(trail);
    var dots = view.classes.map(function (kind, i) {
      var dot = document.createElementNS(space, "circle");
      dot.setAttribute("class", "dot kind-" + kind);
      dot.setAttribute("r", view.classes.length > 200 ? "1.7" : "3");
      dot.setAttribute("data-i", i);
      stage.appendChild(dot);
      return dot;
    });

    function points(step) { return view.maps[method ? Number(method.value) : 0].points[step]; }
    function place(values) {
      at = values;
      dots.forEach(function (dot, i) { dot.setAttribute("cx", values[2 * i]); dot.setAttribute("cy", values[2 * i + 1]); });
    }
    function go(isSudden) {
      var step = Number(slider.value), target = points(step), from = at, begun = 0;
      shown.textContent = data.steps[step].toLocaleString("en");
      slider.setAttribute("aria-valuetext", "step " + shown.textContent);
      follow();
      cancelAnimationFrame(frame);
      if (isSudden || isStill || !from.length) { place(target); return; }
      frame = requestAnimationFrame(function move(now) {
        begun = begun || now;
        var share = Math.min(1, (now - begun) / 500), eased = share * share * (3 - 2 * share);
        place(target.map(function (value, i) { return from[i] + eased * (value - from[i]); }));
        if (share < 1) frame = requestAnimationFrame(move);
      });
    }
    function follow() {
      if (chosen < 0) { trail.setAttribute("d", ""); return; }
      trail.setAttribute("d", data.steps.map(function (_step, s) {
        return (s ? "L" : "M") + points(s)[2 * chosen] + "," + points(s)[2 * chosen + 1];
      }).join(""));
    }
    function filter() {
      var some = Object.keys(only).length > 0;
      dots.forEach(function (dot, i) {
        var isOut = (some && !only[view.classes[i]]) || (wanted && view.labels[i].toLowerCase().indexOf(wanted) < 0);
        dot.setAttribute("class", "dot kind-" + view.classes[i] + (isOut ? " faint" : "") + (i === chosen ? " chosen" : ""));
      });
    }
    function tell(i) {
      if (i === chosen) return;
      chosen = i;
      told.textContent = view.names[view.classes[i]] + ": ";
      var code = document.createElement("code"), mark = document.createElement("mark");
      mark.textContent = view.labels[i];
      code.appendChild(document.createTextNode(view.before[i]));
      code.appendChild(mark);
      code.appendChild(document.createTextNode(view.after[i]));
      told.appendChild(code);
      filter();
      follow();
    }
    function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }

    stage.addEventListener("pointermove", point);
    stage.addEventListener("pointerdown", point);
    function point(event) {
      var box = stage.getBoundingClientRect(), x = 220 * (event.clientX - box.left) / box.width, y = 220 * (event.clientY - box.top) / box.height;
      var best = -1, near = 36;
      for (var i = 0; i < dots.length; i += 1) {
        var away = (at[2 * i] - x) * (at[2 * i] - x) + (at[2 * i + 1] - y) * (at[2 * i + 1] - y);
        if (away < near && dots[i].getAttribute("class").indexOf("faint") < 0) { near = away; best = i; }
      }
      if (best >= 0) tell(best);
    }
    slider.addEventListener("input", function () { stop(); go(false); });
    if (method) method.addEventListener("input", function () { go(true); });
    find.addEventListener("input", function () { wanted = find.value.trim().toLowerCase(); filter(); });
    play.addEventListener("click", function () {
      if (timer) { stop(); return; }
      play.textContent = "Pause";
      if (Number(slider.value) === data.steps.length - 1) slider.value = 0;
      go(false);
      timer = setInterval(function () {
        if (Number(slider.value) === data.steps.length - 1) { stop(); return; }
        slider.value = Number(slider.value) + 1;
        go(false);
      }, 1100);
    });
    document.querySelectorAll("[data-legend='" + player.dataset.player + "'] li").forEach(function (item) {
      var button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      while (item.firstChild) button.appendChild(item.firstChild);
      item.appendChild(button);
      button.addEventListener("click", function () {
        var kind = item.dataset.kind;
        if (only[kind]) delete only[kind]; else only[kind] = true;
        button.setAttribute("aria-pressed", String(Boolean(only[kind])));
        filter();
      });
    });
    player.hidden = false;
    go(true);
  }
  document.querySelectorAll("[data-player]").forEach(draw);
})();
