// What are the segments in numbers? A table of those of one line, a page at a time.

const PAGE = 50;

/** An element with attributes and children; text stays text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === 'on') for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== false && value !== null) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}

class SegmentTable {
  constructor(place, onChoose) {
    this.onChoose = onChoose;
    this.page = 0;
    this.chosen = -1;
    const turn = (text, to) => make('button', { type: 'button', on: { click: () => { this.page = to(); this.draw(); } } }, text);
    const last = () => Math.max(0, Math.ceil(this.rows.length / PAGE) - 1);
    this.turns = [turn('First', () => 0), turn('Previous', () => this.page - 1), turn('Next', () => this.page + 1), turn('Last', last)];
    this.only = make('select', { on: { change: () => this.show(this.line) } });
    for (const [value, text] of [['all', 'all'], ['again', 'sent again, and what it repeats'], ['data', 'with data'],
      ['control', 'SYN, FIN, RST'], ['client', 'from the client'], ['server', 'from the server']]) {
      this.only.append(make('option', { value }, text));
    }
    this.caption = make('caption', {});
    this.body = make('tbody', {});
    const heads = ['Frame', 'Time', 'From', 'Flags', 'Number', 'Bytes', 'Acknowledges', 'Window', 'Why'];
    const head = make('tr', {}, ...heads.map((text) => make('th', { scope: 'col' }, text)));
    place.append(
      make('div', { class: 'controls' }, make('label', {}, 'Segments: ', this.only), ...this.turns),
      make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': 'h-table' },
        make('table', {}, this.caption, make('thead', {}, head), this.body)));
  }

  /** The line's steps that are asked for. */
  show(line) {
    this.line = unpack(line);
    const wanted = {
      all: () => true,
      again: (i) => line.bits[i] & (AGAIN | REPEATED),
      data: (i) => line.len[i] > 0,
      control: (i) => line.bits[i] & (SYN | FIN | RST),
      client: (i) => line.bits[i] & CLIENT,
      server: (i) => !(line.bits[i] & CLIENT),
    }[this.only.value];
    this.rows = [...line.bits.keys()].filter(wanted);
    this.page = 0;
    this.chosen = -1;
    this.draw();
  }

  /** Turns to the page of step `i`. */
  choose(i) {
    this.chosen = i;
    const nth = this.rows.indexOf(i);
    if (nth >= 0) this.page = Math.floor(nth / PAGE);
    this.draw();
  }

  draw() {
    const { line, rows } = this, pages = Math.max(1, Math.ceil(rows.length / PAGE));
    const first = this.page * PAGE, last = Math.min(rows.length, first + PAGE);
    this.caption.textContent = rows.length === 0 ? 'No such segment'
      : `Connection ${line.number}: segments ${first + 1} to ${last} of ${rows.length}`
        + (line.passed > line.steps ? `; of ${line.passed} that passed, ${line.steps} were kept` : '');
    for (const [n, button] of this.turns.entries()) button.disabled = n < 2 ? this.page === 0 : this.page >= pages - 1;
    this.body.replaceChildren(...rows.slice(first, last).map((i) => this.row(i)));
  }

  row(i) {
    const line = this.line, bits = line.bits[i], cell = (text, name) => make('td', { class: name }, text);
    const choose = make('button', { type: 'button', 'aria-label': `Show frame ${line.frame[i]} in the graph`,
      on: { click: () => this.onChoose(i) } }, String(line.frame[i]));
    const said = story(line, i).slice(1).join(' · ');
    return make('tr', { class: i === this.chosen ? 'chosen' : '', 'aria-current': i === this.chosen ? 'true' : false },
      make('td', { class: 'n' }, choose), cell(clock(line.at[i]), 'n'), cell(bits & CLIENT ? 'client' : 'server', ''),
      cell(flags(bits), ''), cell(String(line.seq[i]), 'n'), cell(String(line.len[i]), 'n'),
      cell(bits & ACK ? String(line.ack[i]) : '–', 'n'), cell(bits & WINDOW ? String(line.window[i]) : '–', 'n'),
      cell(said, 'why'));
  }
}
