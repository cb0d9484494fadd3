// How do segments look over time? Three fields on one axis: numbers, bytes under way, round trips.

const MARGIN = { left: 76, right: 14, top: 22, gap: 34, bottom: 26 };
/** The heights of the fields, in pixels. */
const FIELDS = [340, 130, 90];
const HEIGHT = MARGIN.top + FIELDS.reduce((a, b) => a + b) + 2 * MARGIN.gap + MARGIN.bottom;
/** How far from the pointer a segment may be to be meant, in pixels. */
const REACH = 14;

/** Round steps that give about `count` ticks. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const list = [];
  for (let at = Math.ceil(low / step) * step; at <= high && list.length < 50; at += step) list.push(at);
  return [list, step];
}

class Graph {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.paint = canvas.getContext('2d');
    this.onChange = onChange;
    this.chosen = -1;
    this.hovered = -1;
    this.band = null;
    this.queued = false;
  }

  /** Shows a line in one direction: 1 is what the client sent. */
  show(line, direction) {
    this.line = unpack(line);
    this.direction = direction;
    this.whole();
  }

  /** All of the line. */
  whole() {
    const at = this.line.at, first = at[0], last = at[at.length - 1];
    const room = Math.max(1, (last - first) * 0.02);
    this.look(first - room, last + room);
  }

  look(from, to) {
    const least = 20;
    if (to - from < least) [from, to] = [(from + to - least) / 2, (from + to + least) / 2];
    [this.from, this.to] = [from, to];
    this.draw();
  }

  zoom(factor, around) {
    const at = around === undefined ? (this.from + this.to) / 2 : around;
    const all = this.line.at[this.line.steps - 1] - this.line.at[0] + 100;
    const span = Math.min((this.to - this.from) * factor, all * 1.5);
    const share = (at - this.from) / (this.to - this.from);
    this.look(at - span * share, at + span * (1 - share));
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.look(this.from + by, this.to + by);
  }

  /** Chooses step `i`; the view follows it. */
  choose(i, band) {
    this.chosen = Math.max(0, Math.min(this.line.steps - 1, i));
    if (band !== undefined) this.band = band;
    const at = this.line.at[this.chosen], span = this.to - this.from;
    if (at < this.from || at > this.to) this.look(at - span / 2, at + span / 2);
    this.onChange();
    this.draw();
  }

  get width() { return this.canvas.clientWidth || 960; }
  get right() { return this.width - MARGIN.right; }
  x(at) { return MARGIN.left + (at - this.from) / (this.to - this.from) * (this.right - MARGIN.left); }
  time(x) { return this.from + (x - MARGIN.left) / (this.right - MARGIN.left) * (this.to - this.from); }

  /** The first step that is not before `at`. */
  first(at) {
    let low = 0, high = this.line.steps;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.line.at[middle] < at) low = middle + 1; else high = middle;
    }
    return low;
  }

  /** Whether step `i` goes in the direction that is shown. */
  forth(i) { return (this.line.bits[i] & CLIENT) === this.direction; }

  /** The numbers that step `i` covers in the first field, or nothing. */
  place(i) {
    const line = this.line;
    if (this.forth(i)) return line.end[i] > line.seq[i] || line.bits[i] & RST ? [line.seq[i], line.end[i]] : null;
    return line.bits[i] & ACK ? [line.ack[i], line.ack[i]] : null;
  }

  /** The step nearest to a point of the canvas, or −1. */
  near(x, y) {
    let best = -1, least = REACH;
    const reach = this.time(x + REACH) - this.time(x);
    for (let i = this.first(this.time(x) - reach); i < this.line.steps && this.x(this.line.at[i]) <= x + REACH; i++) {
      const place = this.place(i);
      if (!place) continue;
      const [low, high] = [this.y(place[0]), this.y(place[1])];
      const off = y > low ? y - low : y < high ? high - y : 0;
      const distance = Math.hypot(this.x(this.line.at[i]) - x, off);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  draw() {
    if (this.queued || !this.line) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.drawNow(); });
  }

  drawNow(scale) {
    const { canvas, paint, width } = this;
    const ratio = scale || window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
    canvas.style.height = `${HEIGHT}px`;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    paint.fillStyle = this.colour('paper');
    paint.fillRect(0, 0, width, HEIGHT);
    paint.font = '12px system-ui, sans-serif';
    // One step to either side, so that lines do not end at the border.
    this.low = Math.max(0, this.first(this.from) - 1);
    this.high = Math.min(this.line.steps, this.first(this.to) + 1);
    let top = MARGIN.top;
    for (const [n, field] of [this.numbers, this.bytes, this.trips].entries()) {
      field.call(this, top, FIELDS[n]);
      top += FIELDS[n] + MARGIN.gap;
    }
    this.axis(top - MARGIN.gap);
    this.cross(top - MARGIN.gap);
  }

  /** A frame, a title and ticks; makes `this.y`. Drawing goes on inside the frame until `restore`. */
  field(top, height, low, high, title, show) {
    const paint = this.paint;
    if (!(high > low)) high = low + 1;
    this.y = (value) => top + height - (value - low) / (high - low) * height;
    paint.fillStyle = this.colour('ink');
    paint.textAlign = 'left';
    paint.fillText(title, MARGIN.left, top - 7);
    paint.textAlign = 'right';
    const [list] = ticks(low, high, Math.max(2, height / 50));
    for (const tick of list) {
      paint.fillStyle = this.colour('rule');
      paint.fillRect(MARGIN.left, Math.round(this.y(tick)), this.right - MARGIN.left, 1);
      paint.fillStyle = this.colour('faint');
      paint.fillText(show(tick), MARGIN.left - 6, this.y(tick) + 4);
    }
    paint.save();
    paint.beginPath();
    paint.rect(MARGIN.left, top, this.right - MARGIN.left, height);
    paint.clip();
    if (this.band) {
      paint.fillStyle = this.colour('mark');
      const [from, to] = this.band.map((at) => this.x(at));
      paint.fillRect(from - 1, top, Math.max(2, to - from + 2), height);
    }
  }

  /** A line of steps: each value holds until the next. */
  stairs(colour, value, dashes) {
    const paint = this.paint;
    paint.strokeStyle = this.colour(colour);
    paint.lineWidth = 1.5;
    paint.setLineDash(dashes || []);
    paint.beginPath();
    let last = null;
    for (let i = this.stairsFrom(value); i < this.high; i++) {
      const now = value(i);
      if (now === null) continue;
      const x = this.x(this.line.at[i]);
      if (last === null) paint.moveTo(x, this.y(now)); else { paint.lineTo(x, this.y(last)); paint.lineTo(x, this.y(now)); }
      last = now;
    }
    if (last !== null) paint.lineTo(this.x(Math.min(this.to, this.line.at[this.line.steps - 1])), this.y(last));
    paint.stroke();
    paint.setLineDash([]);
  }

  /** The last step before the view that has a value: what it says still holds. */
  stairsFrom(value) {
    for (let i = this.low; i > Math.max(0, this.low - 5000); i--) if (value(i) !== null) return i;
    return this.low;
  }

  /** The first field: what was sent, what was acknowledged, what may be sent. */
  numbers(top, height) {
    const { line, paint } = this;
    let low = Infinity, high = -Infinity;
    for (let i = this.low; i < this.high; i++) {
      const place = this.place(i);
      if (place && line.at[i] >= this.from && line.at[i] <= this.to) {
        low = Math.min(low, place[0]);
        high = Math.max(high, place[1]);
      }
    }
    if (low > high) [low, high] = [0, 1];
    const room = Math.max(1, (high - low) * 0.06);
    this.field(top, height, low - room, high + room, 'Numbers of the bytes', (n) => String(Math.round(n)));
    const back = (value) => (i) => this.forth(i) || !(line.bits[i] & ACK) ? null : value(i);
    this.stairs('edge', back((i) => line.bits[i] & WINDOW ? line.ack[i] + line.window[i] : null), [6, 3]);
    this.stairs('ack', back((i) => line.ack[i]));
    for (let i = this.low; i < this.high; i++) {
      const x = this.x(line.at[i]);
      for (const [start, end] of this.forth(i) ? [] : line.blocks.get(i) || []) {
        paint.fillStyle = this.colour('sack');
        paint.fillRect(x - 1, this.y(end), 2, Math.max(2, this.y(start) - this.y(end)));
      }
      const place = this.forth(i) ? this.place(i) : null;
      if (place) this.segment(i, x, this.y(place[1]), this.y(place[0]));
      else if (!this.forth(i) && line.bits[i] & RST) this.letter(i, x, this.y(low));
    }
    paint.restore();
    this.numbersY = this.y;
  }

  /** A bar; its shape says what its colour says. */
  segment(i, x, high, low) {
    const { paint, line } = this, what = kind(line, i);
    paint.fillStyle = paint.strokeStyle = this.colour(what);
    const length = Math.max(3, low - high);
    paint.fillRect(x - 1, high, what === 'data' ? 2 : 3, length);
    if (what === 'again' || what === 'late') {
      // A triangle that points up at what was sent again, an open one at what came late or twice.
      paint.beginPath();
      paint.moveTo(x, low + 1);
      paint.lineTo(x - 5, low + 9);
      paint.lineTo(x + 5, low + 9);
      paint.closePath();
      if (what === 'again') paint.fill(); else paint.stroke();
    }
    if (line.bits[i] & REPEATED) {
      paint.strokeStyle = this.colour('again');
      paint.lineWidth = 1.5;
      paint.beginPath();
      for (const side of [-1, 1]) { paint.moveTo(x - 4, high - 5 + 4 * side); paint.lineTo(x + 4, high - 5 - 4 * side); }
      paint.stroke();
    }
    if (line.bits[i] & (SYN | FIN | RST)) this.letter(i, x, high - 4);
  }

  letter(i, x, y) {
    const bits = this.line.bits[i];
    this.paint.fillStyle = this.colour('control');
    this.paint.textAlign = 'center';
    this.paint.fillText(bits & RST ? 'R' : bits & SYN ? 'S' : 'F', x, y);
  }

  /** The second field: bytes under way, and what bounds them if the stack says so. */
  bytes(top, height) {
    const { line } = this, own = line.own === this.direction && line.cwnd.length > 0;
    const out = (i) => line.out[i][this.direction];
    const cwnd = (i) => own && line.cwnd[i] >= 0 ? line.cwnd[i] : null;
    const ssthresh = (i) => own && line.ssthresh[i] >= 0 ? line.ssthresh[i] : null;
    let high = 1;
    for (let i = this.low; i < this.high; i++) high = Math.max(high, out(i), cwnd(i) || 0);
    const title = own ? 'Bytes: in flight, cwnd, ssthresh' : 'Bytes in flight, as seen from here';
    this.field(top, height, 0, high * 1.08, title, (n) => n >= 1e6 ? `${n / 1e6} M` : n >= 1e4 ? `${n / 1e3} k` : String(n));
    this.stairs('ssthresh', ssthresh, [2, 3]);
    this.stairs('window', cwnd, [8, 3]);
    this.stairs('flight', out);
    this.paint.restore();
  }

  /** The third field: the time from a segment to its acknowledgment. */
  trips(top, height) {
    const { line, paint } = this, own = line.own === this.direction && line.srtt.length > 0;
    const srtt = (i) => own && line.srtt[i] >= 0 ? line.srtt[i] : null;
    const sample = (i) => !this.forth(i) && line.times.has(i) ? line.times.get(i) : null;
    let high = 1;
    for (let i = this.low; i < this.high; i++) high = Math.max(high, sample(i) || 0, srtt(i) || 0);
    const title = own ? 'Acknowledged after: samples, smoothed'
      : 'Acknowledged after, as seen from here';
    this.field(top, height, 0, high * 1.1, title, spoken);
    this.stairs('rtt', srtt);
    paint.fillStyle = this.colour('rtt');
    for (let i = this.low; i < this.high; i++) {
      const time = sample(i);
      if (time === null) continue;
      paint.beginPath();
      paint.arc(this.x(line.at[i]), this.y(time), 3, 0, 7);
      paint.fill();
    }
    paint.restore();
  }

  axis(bottom) {
    const paint = this.paint;
    const [list, step] = ticks(this.from, this.to, Math.max(2, (this.right - MARGIN.left) / 110));
    const [unit, name] = step >= 1e5 ? [1e6, 's'] : step >= 100 ? [1e3, 'ms'] : [1, 'µs'];
    const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
    paint.textAlign = 'center';
    for (const tick of list) {
      paint.fillStyle = this.colour('faint');
      paint.fillRect(Math.round(this.x(tick)), bottom, 1, 5);
      paint.fillText(`${(tick / unit).toFixed(digits)} ${name}`, this.x(tick), bottom + 18);
    }
  }

  /** What is chosen, and what the pointer is at. */
  cross(bottom) {
    this.y = this.numbersY;
    for (const i of [this.hovered, this.chosen]) {
      if (i < 0) continue;
      const paint = this.paint, x = this.x(this.line.at[i]);
      if (x < MARGIN.left || x > this.right) continue;
      paint.strokeStyle = this.colour('focus');
      paint.lineWidth = i === this.chosen ? 1.5 : 0.75;
      paint.beginPath();
      paint.moveTo(x, MARGIN.top);
      paint.lineTo(x, bottom);
      const place = this.place(i);
      paint.stroke();
      if (place) {
        paint.beginPath();
        paint.arc(x, (this.y(place[0]) + this.y(place[1])) / 2, 7, 0, 7);
        paint.stroke();
      }
    }
  }
}
