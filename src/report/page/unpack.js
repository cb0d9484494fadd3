// What does the data block say? Columns of differences become lines of steps; nothing is drawn here.

// The bits of a step, as the program that wrote them names them.
const CLIENT = 1, ACK = 2, SYN = 4, FIN = 8, RST = 16, PSH = 32, ECE = 64, CWR = 128;
const AGAIN = 256, REPEATED = 512, STATED = 1024, WINDOW = 2048, RECEIVED = 4096;
const FLAGS = [[SYN, 'SYN'], [FIN, 'FIN'], [RST, 'RST'], [PSH, 'PSH'], [ACK, 'ACK'], [ECE, 'ECE'], [CWR, 'CWR']];

const book = JSON.parse(document.getElementById('data').textContent);

/** Numbers from their differences. */
function sums(column) {
  let last = 0;
  return column.map((difference) => last += difference);
}

/** A line with its columns in full; done once, when it is first looked at. */
function unpack(line) {
  if (line.steps !== undefined) return line;
  const steps = line.bits.length;
  line.steps = steps;
  for (const name of ['frame', 'at', 'cwnd', 'ssthresh', 'flight', 'srtt']) line[name] = sums(line[name]);
  // By direction, the server's first: where the last segment ended, the last acknowledgment and window, the highest of both.
  const last = [0, 1].map(() => ({ end: 0, ack: 0, window: 0, top: 0, acked: 0 }));
  line.end = new Array(steps);
  line.out = new Array(steps);
  line.took = new Map();
  line.args = new Map();
  let taken = 0, numbers = 0;
  for (let i = 0; i < steps; i++) {
    const bits = line.bits[i], from = bits & CLIENT;
    const own = last[from], other = last[1 - from];
    line.seq[i] += own.end;
    line.end[i] = line.seq[i] + line.len[i] + (bits & SYN ? 1 : 0) + (bits & FIN ? 1 : 0);
    own.end = line.end[i];
    if (bits & ACK) {
      own.ack = line.ack[i] += own.ack;
      other.acked = Math.max(other.acked, own.ack);
    }
    if (bits & WINDOW) own.window = line.window[i] += own.window;
    if (!(bits & RST)) own.top = Math.max(own.top, own.end);
    // Bytes under way in either direction after this step, the server's first.
    line.out[i] = last.map((end) => Math.max(0, end.top - end.acked));
    if (bits & RECEIVED) line.took.set(i, line.taken[taken++]);
    const text = line.text[i] ? book.texts[line.text[i] - 1] : '';
    const places = text.split('{}').length - 1;
    if (places) {
      line.args.set(i, line.numbers.slice(numbers, numbers + places));
      numbers += places;
    }
  }
  line.blocks = new Map();
  for (let n = 0; n < line.sack.length;) {
    const [i, count] = [line.sack[n], line.sack[n + 1]], blocks = [];
    n += 2;
    for (let b = 0; b < count; b++, n += 2) {
      const start = line.ack[i] + line.sack[n];
      blocks.push([start, start + line.sack[n + 1]]);
    }
    line.blocks.set(i, blocks);
  }
  line.times = new Map();
  for (let n = 0; n < line.rtt.length; n += 2) line.times.set(line.rtt[n], line.rtt[n + 1]);
  return line;
}

/** The sentence that the capture holds for step `i`, or nothing. */
function sentence(line, i) {
  if (!line.text[i]) return '';
  const args = line.args.get(i) || [];
  let nth = 0;
  return book.texts[line.text[i] - 1].replace(/\{([LSEA]?)\}/g, (_, known) => {
    switch (known) {
      case 'L': return line.len[i];
      case 'S': return line.seq[i];
      case 'E': return line.seq[i] + line.len[i];
      case 'A': return line.ack[i];
      default: return args[nth++];
    }
  });
}

function flags(bits) {
  return FLAGS.filter(([bit]) => bits & bit).map(([, name]) => name).join(' ');
}

/** What step `i` is drawn as. */
function kind(line, i) {
  const bits = line.bits[i];
  if (bits & (SYN | FIN | RST)) return bits & AGAIN ? 'again' : 'control';
  if (!line.len[i]) return 'ack';
  if (!(bits & AGAIN)) return 'data';
  return book.words[line.why[i]] === 'data' ? 'late' : 'again';
}

/** A time in words: whole microseconds are all there is. */
function spoken(us) {
  const short = (value, unit) => `${+value.toPrecision(4)} ${unit}`;
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? short(us / 1e3, 'ms') : short(us / 1e6, 's');
}

/** A point of time, to the microsecond. */
function clock(us) {
  return us < 1e6 ? `${(us / 1e3).toFixed(3)} ms` : `${(us / 1e6).toFixed(6)} s`;
}

/** Where the packet goes: in words, as screen readers should say it. */
function way(line, i) {
  return line.bits[i] & CLIENT ? 'client to server' : 'server to client';
}

/** What there is to say of a step: each part is a line of its own. */
function story(line, i) {
  const bits = line.bits[i], parts = [];
  const data = line.len[i] ? `${line.len[i]} bytes ${line.seq[i]}..${line.seq[i] + line.len[i]}` : 'no data';
  parts.push(`Frame ${line.frame[i]} at ${clock(line.at[i])}, ${way(line, i)}: ${flags(bits)}, ${data}`
    + (bits & ACK ? `, acknowledges ${line.ack[i]}` : '') + (bits & WINDOW ? `, window ${line.window[i]}` : ''));
  const said = sentence(line, i), why = book.words[line.why[i]];
  if (bits & STATED) {
    parts.push(`Why: ${why}${said ? ': ' + said : ''}`);
  } else if (line.took.has(i)) {
    parts.push(`Received as ${book.words[line.took.get(i)]}${said ? ': ' + said : ''}`);
    parts.push(`Sent as ${why} (inferred)`);
  } else {
    parts.push(`Why: ${why} (inferred)`);
  }
  const blocks = line.blocks.get(i);
  if (blocks) parts.push(`Selective acknowledgment: ${blocks.map(([s, e]) => `${s}..${e}`).join(', ')}`);
  if (bits & REPEATED) parts.push('What it carries was sent again later');
  if (line.times.has(i)) parts.push(`${spoken(line.times.get(i))} after what it acknowledges`);
  if (line.cwnd.length && line.cwnd[i] >= 0) {
    const known = [`cwnd ${line.cwnd[i]}`];
    if (line.ssthresh[i] >= 0) known.push(`ssthresh ${line.ssthresh[i]}`);
    known.push(`flight ${line.flight[i]}`);
    if (line.srtt[i] >= 0) known.push(`srtt ${spoken(line.srtt[i])}`);
    if (line.limit[i] >= 0) known.push(`limit ${book.words[line.limit[i]]}`);
    parts.push(`After it: ${known.join(', ')}`);
  }
  return parts;
}
