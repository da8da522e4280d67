"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const {steps, epochs, stages, guarded, tensors} = data;
  const byId = id => document.getElementById(id);
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  document.documentElement.classList.add("scripted");

  // Charts are redrawn in new colours and sizes by calling draw again.
  const charts = new Map(); // host element → {draw, plot}
  function show(id, draw) {
    const host = byId(id);
    if (!host) return;
    charts.get(host)?.plot?.destroy();
    host.replaceChildren();
    charts.set(host, {draw, plot: draw(host)});
  }
  function redraw() {
    for (const [host, chart] of charts) show(host.id, chart.draw);
  }
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);
  let width = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    requestAnimationFrame(redraw);
  });

  function format(x) {
    if (x == null) return "–";
    const a = Math.abs(x);
    if (a !== 0 && (a < 0.001 || a >= 1e5)) return x.toExponential(2);
    return a >= 100 ? x.toFixed(0) : x.toFixed(3);
  }
  // 0.00025 → 2.5e-4; without the noise of binary fractions.
  function tick(x) {
    if (x == null) return "";
    const a = Math.abs(x);
    return a !== 0 && (a < 0.001 || a >= 1e5) ? (+x.toPrecision(3)).toExponential().replace("e+", "e") : String(+x.toPrecision(6));
  }

  function axis(more) {
    return {
      stroke: color("--muted"), font: "12px system-ui, sans-serif",
      grid: {stroke: color("--grid"), width: 1}, ticks: {stroke: color("--grid"), width: 1}, ...more,
    };
  }
  const xAxis = () => axis({space: 70, values: (u, ticks) => ticks.map(x => Number.isInteger(x) ? x : "")});
  const yAxis = () => axis({
    values: (u, ticks) => ticks.map(tick),
    size: (u, labels) => 22 + 7 * Math.max(3, ...(labels ?? []).map(s => s.length)),
  });

  const line = (label, stroke, more) => ({
    label, stroke: color(stroke), width: 2, spanGaps: true, value: (u, x) => format(x), points: {show: false}, ...more,
  });
  // A line of one point is invisible, so few points are drawn as such.
  const points = (few, stroke, size) => ({show: few, size, fill: color(stroke), stroke: color(stroke)});

  // Where a stage begins there is a dashed line with a label above the chart,
  // short or none where the next line is near; where the guard stepped in, a
  // triangle at the foot of the chart.
  function mark(u) {
    const {ctx, bbox} = u, ratio = uPlot.pxRatio, foot = bbox.top + bbox.height;
    const seen = step => step >= u.scales.x.min && step <= u.scales.x.max;
    const px = step => Math.round(u.valToPos(step, "x", true));
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    ctx.strokeStyle = ctx.fillStyle = color("--stage");
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    stages.forEach((step, i) => {
      if (!seen(step)) return;
      const x = px(step), end = seen(stages[i + 1]) ? px(stages[i + 1]) : ctx.canvas.width, room = end - x - 3 * ratio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, foot);
      ctx.stroke();
      const label = [`stage ${i + 1}`, String(i + 1)].find(s => ctx.measureText(s).width <= room);
      if (label) ctx.fillText(label, x, bbox.top - 4 * ratio);
    });
    ctx.fillStyle = color("--guard");
    for (const step of guarded) {
      if (!seen(step)) continue;
      const x = px(step);
      ctx.beginPath();
      ctx.moveTo(x, foot - 9 * ratio);
      ctx.lineTo(x - 5 * ratio, foot);
      ctx.lineTo(x + 5 * ratio, foot);
      ctx.fill();
    }
    ctx.restore();
  }

  function chart(host, height, scale, series, columns) {
    return new uPlot({
      width: host.clientWidth, height, scales: {x: {time: false}, y: scale}, axes: [xAxis(), yAxis()],
      series: [{label: "Update", value: (u, x) => x ?? "–"}, ...series],
      cursor: {points: {size: 7}, y: false}, legend: {markers: {width: 3}},
      padding: [stages.length ? 22 : null, null, null, null], hooks: {draw: [mark]},
    }, columns, host);
  }

  if (steps.step) {
    const few = steps.step.length < 3;
    show("chart-loss", host => {
      const known = epochs.step && epochs.validation.some(x => x !== null);
      const columns = [[steps.step, steps.loss, steps.smooth]];
      if (known) columns.push([epochs.step, epochs.validation]);
      const series = [
        line("Training", "--pale", {width: 1, spanGaps: false, points: points(few, "--pale", 5)}),
        line("smoothed", "--train", {points: points(few, "--train", 5)}),
      ];
      if (known) series.push(line("Validation", "--validation", {points: points(true, "--validation", 7)}));
      return chart(host, 320, {}, series, uPlot.join(columns));
    });
    show("chart-norm", host => chart(host, 220, {distr: 3},
      [line("Norm", "--norm", {width: 1, spanGaps: false, points: points(few, "--norm", 5)})],
      [steps.step, steps.norm.map(x => x > 0 ? x : null)]));
    show("chart-rate", host => chart(host, 220, {range: (u, low, high) => [0, high > 0 ? 1.08 * high : 1]},
      [line("Rate", "--rate", {points: points(few, "--rate", 5)})], [steps.step, steps.rate]));
  }

  // A heat map has a column of bins for each recorded update.
  function heat(host, columns, rgb) {
    if (!columns?.length) {
      host.textContent = "not recorded";
      return null;
    }
    const x = columns.map(c => c.step), last = x.length - 1;
    const edge = i => i === 0 ? x[0] - ((x[1] ?? x[0] + 2) - x[0]) / 2 : i > last ? x[last] + (x[last] - (x[last - 1] ?? x[0] - 2)) / 2 : (x[i - 1] + x[i]) / 2;
    let low = Math.min(...columns.map(c => c.low)), high = Math.max(...columns.map(c => c.high));
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
    const ink = color(rgb);
    const paint = u => {
      const {ctx} = u, px = v => u.valToPos(v, "x", true), py = v => u.valToPos(v, "y", true);
      columns.forEach((c, i) => {
        const shares = Uint8Array.from(atob(c.shares), s => s.charCodeAt(0));
        const left = Math.round(px(edge(i))), right = Math.round(px(edge(i + 1)));
        const top = v => Math.round(py(v)), bin = (c.high - c.low) / shares.length;
        shares.forEach((share, n) => {
          if (share === 0) return;
          const y1 = top(c.low + (n + 1) * bin), y0 = top(c.low + n * bin);
          ctx.fillStyle = `rgb(${ink} / ${(0.06 + 0.94 * Math.sqrt(share / 255)).toFixed(3)})`;
          ctx.fillRect(left, y1, right - left, Math.max(y0 - y1, 2));
        });
      });
    };
    return new uPlot({
      width: host.clientWidth, height: 240, scales: {x: {time: false, range: [edge(0), edge(last + 1)]}, y: {range: [low, high]}},
      axes: [xAxis(), yAxis()], series: [{}, {points: {show: false}}],
      legend: {show: false}, cursor: {show: false}, hooks: {draw: [paint]},
    }, [x, x.map(() => null)], host);
  }

  const select = byId("tensor");
  if (select) {
    select.append(...tensors.map((t, i) => new Option(t.name, i)));
    const change = () => {
      const t = tensors[select.value];
      show("chart-weights", host => heat(host, t.weights, "--weights"));
      show("chart-gradients", host => heat(host, t.gradients, "--gradients"));
    };
    select.addEventListener("change", change);
    change();
  }

  const slider = byId("epoch");
  if (slider) {
    const captions = [...document.querySelectorAll("[data-epoch]")];
    const all = [...new Set(captions.map(p => +p.dataset.epoch))].sort((a, b) => a - b);
    const lines = [...byId("progress").children], every = byId("every");
    slider.max = all.length - 1;
    slider.value = all.length - 1;
    const change = () => {
      document.querySelector(".captions").classList.toggle("every", every.checked);
      for (const p of captions) p.hidden = !every.checked && +p.dataset.epoch !== all[slider.value];
      lines.forEach((line, i) => { line.hidden = i !== +slider.value; });
      slider.setAttribute("aria-valuetext", lines[slider.value].textContent);
      slider.disabled = every.checked || all.length < 2;
    };
    slider.addEventListener("input", change);
    every.addEventListener("change", change);
    change();
  }
})();
