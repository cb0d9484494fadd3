// What does the reader do? Choosing, zooming and moving by mouse, touch and keyboard; links that lead into the graph.

const KINDS = [['data', 'data'], ['again', 'sent again (▲)'], ['late', 'late or doubled (△)'], ['control', 'SYN, FIN, RST (S, F, R)'],
  ['ack', 'acknowledged'], ['edge', 'edge of the window (dashed)'], ['sack', 'held beyond a gap (SACK)'], ['flight', 'in flight'],
  ['cwnd', 'congestion window (dashed)'], ['ssthresh', 'threshold (dotted)'], ['rtt', 'time to the acknowledgment']];

function swatch(name) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg'), rect = document.createElementNS(space, 'rect');
  for (const [key, value] of [['class', 'swatch'], ['viewBox', '0 0 10 10'], ['aria-hidden', 'true']]) svg.setAttribute(key, value);
  for (const [key, value] of [['width', 10], ['height', 10], ['class', `k-${name}`]]) rect.setAttribute(key, value);
  svg.append(rect);
  return svg;
}

function start() {
  const place = document.getElementById('graph');
  const button = (text, label, act) => make('button', { type: 'button', 'aria-label': label, on: { click: act } }, text);
  const lines = make('select', { on: { change: () => show(book.lines[lines.value]) } });
  for (const [n, line] of book.lines.entries()) {
    lines.append(make('option', { value: n }, `${line.number}: ${line.client} → ${line.server} (${line.passed} packets)`));
  }
  const ways = make('select', { on: { change: () => { graph.show(graph.line, +ways.value); describe(); } } },
    make('option', { value: 1 }, 'client to server'), make('option', { value: 0 }, 'server to client'));
  const canvas = make('canvas', { tabindex: 0, role: 'application', 'aria-roledescription': 'graph', 'aria-describedby': 'keys' });
  const tip = make('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
  const told = make('output', { 'aria-live': 'polite' }, 'Choose a segment to read why it was sent.');
  place.append(
    make('div', { class: 'controls' }, make('label', {}, 'Connection: ', lines), make('label', {}, 'Direction: ', ways),
      button('+', 'Zoom in', () => graph.zoom(0.5)), button('−', 'Zoom out', () => graph.zoom(2)),
      button('◀', 'Move to earlier', () => graph.pan(-0.5)), button('▶', 'Move to later', () => graph.pan(0.5)),
      button('All', 'Show all', () => graph.whole())),
    make('ul', { class: 'legend', 'aria-label': 'What is drawn, by colour and shape' },
      ...KINDS.map(([name, text]) => make('li', {}, swatch(name), text)), make('li', {}, '× sent again later')),
    make('div', { class: 'stage' }, canvas, tip), told,
    make('p', { class: 'help', id: 'keys' }, 'Drag to move, Ctrl and the wheel or two fingers to zoom, point at a segment to read why. '
      + 'Keys: ← → segment by segment, Shift with them moves, + and − zoom, Home and End first and last, 0 shows all.'));
  if (book.kept < book.passed) {
    place.prepend(make('p', {}, `Of ${book.passed} packets ${book.kept} are drawn: all that is unusual, and of the rest `
      + (book.every > 1 ? `every ${book.every}th.` : 'those of the first connections.')));
  }
  if (book.silent) place.prepend(make('p', {}, `${book.silent} packets are shown without their sentence: there are too many different ones.`));

  const tell = () => {
    const parts = graph.chosen < 0 ? [] : story(graph.line, graph.chosen);
    told.replaceChildren(...parts.map((text) => make('div', {}, text)));
    table.choose(graph.chosen);
  };
  const graph = new Graph(canvas, tell);
  const table = new SegmentTable(document.getElementById('table'), (i) => { graph.choose(i); reveal(); });

  const describe = () => {
    const line = graph.line;
    canvas.setAttribute('aria-label', `Segments of connection ${line.number}, ${ways.selectedOptions[0].textContent}, over time: `
      + `${line.steps} segments in ${spoken(line.at[line.steps - 1] - line.at[0])}. The table below has them in numbers.`);
  };

  /** Shows a line, in the direction in which more was sent unless another is asked for. */
  const show = (line, direction) => {
    unpack(line);
    let sent = 0;
    for (let i = 0; i < line.steps; i++) sent += line.bits[i] & CLIENT ? line.len[i] : -line.len[i];
    ways.value = direction === undefined ? (sent >= 0 ? 1 : 0) : direction;
    lines.value = book.lines.indexOf(line);
    graph.chosen = graph.hovered = -1;
    graph.band = null;
    graph.show(line, +ways.value);
    table.show(line);
    describe();
  };

  const reveal = () => {
    document.getElementById('h-graph').scrollIntoView();
    canvas.focus({ preventScroll: true });
  };

  /** Shows the steps from one frame to another, wherever they are. */
  const visit = (from, to, number) => {
    const inside = (line) => unpack(line).frame.some((frame) => frame >= from && frame <= to);
    const line = book.lines.find((l) => number === undefined ? inside(l) : l.number === number);
    if (!line) {
      told.textContent = `Frames ${from} to ${to} are not drawn: there are more connections than are kept.`;
      return reveal();
    }
    const nearest = (frame) => line.frame.reduce((best, f, i) => Math.abs(f - frame) < Math.abs(line.frame[best] - frame) ? i : best, 0);
    unpack(line);
    const [first, last] = [nearest(from), nearest(to)];
    // A wait is ended by its last packet: that one's direction is shown, if it brings anything.
    const brings = line.end[last] > line.seq[last];
    show(line, brings && number === undefined ? line.bits[last] & CLIENT : undefined);
    const band = [line.at[first], line.at[last]], room = Math.max(50, (band[1] - band[0]) * 0.4);
    graph.look(band[0] - room, band[1] + room);
    graph.choose(last, band);
    reveal();
  };

  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element && event.target.closest('a[data-frames], a[data-line]');
    if (!link) return;
    event.preventDefault();
    const number = link.dataset.line === undefined ? undefined : +link.dataset.line;
    if (link.dataset.frames !== undefined) return visit(...link.dataset.frames.split(' ').map(Number), number);
    const line = book.lines.find((l) => l.number === number);
    if (line) { show(line); reveal(); } else visit(0, 0, number);
  });

  pointers(canvas, graph, tip);
  canvas.addEventListener('keydown', (event) => {
    const { key, shiftKey } = event, last = graph.line.steps - 1;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const from = graph.chosen < 0 ? graph.first(graph.from) : graph.chosen;
    const next = graph.chosen < 0 ? from : from + 1;
    const acts = {
      ArrowRight: () => shiftKey ? graph.pan(0.2) : graph.choose(next), ArrowLeft: () => shiftKey ? graph.pan(-0.2) : graph.choose(from - 1),
      PageDown: () => graph.choose(from + 20), PageUp: () => graph.choose(from - 20),
      Home: () => graph.choose(0), End: () => graph.choose(last),
      '+': () => graph.zoom(0.5, centre()), '=': () => graph.zoom(0.5, centre()), '-': () => graph.zoom(2, centre()), 0: () => graph.whole(),
      Escape: () => { graph.band = null; graph.chosen = -1; tell(); graph.draw(); },
    };
    const centre = () => graph.chosen >= 0 ? graph.line.at[graph.chosen] : undefined;
    if (!acts[key]) return;
    event.preventDefault();
    acts[key]();
  });

  new ResizeObserver(() => graph.draw()).observe(canvas);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => graph.draw());
  // Paper is light, whatever the screen is, and finer.
  addEventListener('beforeprint', () => { document.documentElement.dataset.print = ''; graph.drawNow(3); });
  addEventListener('afterprint', () => { delete document.documentElement.dataset.print; graph.draw(); });

  for (const id of ['graph', 'table']) document.getElementById(id).hidden = false;
  if (book.lines.length) {
    show(book.lines[book.first]);
  } else {
    for (const id of ['graph', 'table']) document.getElementById(id).replaceChildren('No TCP segment was captured.');
  }
  bars();
}

/** Pointing, dragging, pinching and the wheel. */
function pointers(canvas, graph, tip) {
  const down = new Map();
  let moved = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const point = (event) => {
    const [x, y] = at(event), found = graph.near(x, y);
    if (found !== graph.hovered) {
      graph.hovered = found;
      graph.draw();
    }
    tip.hidden = found < 0;
    if (found < 0) return;
    tip.replaceChildren(...story(graph.line, found).map((text) => make('div', {}, text)));
    tip.style.left = `${Math.max(0, Math.min(x + 14, graph.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 18}px`;
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    moved = false;
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId), now = at(event);
    if (!before) return point(event);
    const others = [...down].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    if (Math.hypot(now[0] - before[0], now[1] - before[1]) < 4 && !moved) return;
    moved = true;
    tip.hidden = true;
    down.set(event.pointerId, now);
    if (others.length) {
      const [old, fresh] = [before, now].map(([x]) => Math.max(8, Math.abs(x - others[0][0])));
      graph.zoom(old / fresh, graph.time((now[0] + others[0][0]) / 2));
    } else {
      graph.look(graph.from + graph.time(before[0]) - graph.time(now[0]), graph.to + graph.time(before[0]) - graph.time(now[0]));
    }
  });
  const up = (event) => {
    if (!down.delete(event.pointerId) || moved || event.type !== 'pointerup') return;
    const found = graph.near(...at(event));
    if (found >= 0) graph.choose(found, null);
    point(event);
  };
  canvas.addEventListener('pointerup', up);
  canvas.addEventListener('pointercancel', up);
  canvas.addEventListener('pointerleave', () => { tip.hidden = true; graph.hovered = -1; graph.draw(); });
  canvas.addEventListener('wheel', (event) => {
    // Without a key the wheel scrolls the page, as everywhere.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    graph.zoom(event.deltaY > 0 ? 1.25 : 0.8, graph.time(at(event)[0]));
  }, { passive: false });
  canvas.addEventListener('dblclick', (event) => graph.zoom(0.5, graph.time(at(event)[0])));
}

/** Bars on one scale, or all from the left. */
function bars() {
  const box = document.getElementById('scale');
  if (!box) return;
  const inner = [...document.querySelectorAll('.bar > svg')];
  const usual = inner.map((svg) => [svg.getAttribute('x'), svg.getAttribute('width')]);
  const longest = Math.max(...usual.map(([, width]) => parseFloat(width)));
  box.hidden = inner.length < 2;
  box.querySelector('input').addEventListener('change', (event) => {
    for (const [n, svg] of inner.entries()) {
      svg.setAttribute('x', event.target.checked ? '0%' : usual[n][0]);
      svg.setAttribute('width', event.target.checked ? `${parseFloat(usual[n][1]) * 100 / longest}%` : usual[n][1]);
    }
  });
}

start();
