//! Is code evaluated as Python does it, and is what is not there refused before anything runs?

use super::Kind;
use super::code::{Interpreter, parse};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn lookup(name: &str) -> Option<u64> {
    match name {
        "tcpi_snd_cwnd" => Some(10),
        "tcpi_rto" => Some(300_000),
        "tcpi_max_pacing_rate" => Some(u64::MAX),
        _ => None,
    }
}

/// Whether the blocks come to their ends, one after the other.
fn holds(blocks: &[&str]) -> bool {
    let (mut interpreter, mut known) = (Interpreter::default(), BTreeSet::new());
    blocks.iter().all(|text| {
        let block = parse(text, 1, &mut known).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        block.run(&mut interpreter, &lookup).is_ok()
    })
}

#[test]
fn what_holds_in_python_holds() {
    for text in [
        "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
        "assert (tcpi_snd_cwnd + 2) * 3 == 36",
        "assert 1 < tcpi_snd_cwnd <= 10 and not tcpi_rto < 5",
        "assert -7 // 2 == -4 and -7 % 2 == 1 and 7 // -2 == -4 and 7 % -2 == -1 and -8 // -2 == 4",
        "assert 7 / 2 == 3.5 and 2 ** 10 == 1024 and 2 ** -1 == .5 and -2 ** 2 == -4",
        "assert 2 - 1 - 1 == 0  # from the left",
        "assert tcpi_max_pacing_rate == 18446744073709551615 == (1 << 64) - 1",
        "x = tcpi_snd_cwnd / 4; assert x == 2.5, 'a; b # c'",
        "x = 1\nx = x << 3 | 1\nassert x == 9 and x & 8",
        "assert abs(-2) + max(1, tcpi_snd_cwnd, 3) == 12 and \\\n  (min(4,\n 5) == 4)",
        "assert int(2.9) == 2 and round(2.5) == 2 and int('12') == 12 and float(3) == 3",
        "assert abs(tcpi_rto - 299000) <= 1e3, \"rto=%d\" % tcpi_rto",
        "print(tcpi_rto); print \"x\"",
        "import time, sys as s\ns.stderr.write('x')",
        "assert '%d %5s|%-4d|%05.1f %x %%' % (3, 'ab', 7, 2.25, 255) == '3    ab|7   |002.2 ff %'",
        "n = 3\nassert f'{n} {n + 1:>3} {n:.2f} {{}}' == '3   4 3.00 {}'",
        "assert '{} {1} {a:04x}'.format('x', 2, a=255) == 'x 2 00ff'",
        "assert 3 in (1, 2, 3) and 'b' in 'abc' and 4 not in [1, 2] and None is None and 1 is not None",
        "if tcpi_snd_cwnd > 10:\n  assert 0\nelif tcpi_snd_cwnd == 10:\n  y = 1\nelse:\n  assert 0\nassert y",
        "sum_ = 0\nfor i in range(1, 5):\n\tif i == 3: continue\n\tsum_ += i\nassert sum_ == 7",
        "n = 0\nwhile True:\n  n += 1\n  if n >= 5:\n    break\nassert n == 5",
        "def near(a, b, share=.1):\n  return abs(a - b) <= share * b\n\nassert near(11, 10) and not near(12, 10)",
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\nassert fact(5) == 120",
        "a, b = 1, 2\na, b = b, a\nassert (a, b) == (2, 1) and [a, b] < [3]",
        "l = []\nl.append(2)\nl.append(1)\nassert sorted(l) == [1, 2] and len(l) == 2 and l[-1] == 1",
        "d = {'a': 1}\nd['b'] = 2\nassert d['a'] + d['b'] == 3 and sum(d.values()) == 3 and 'b' in d",
        "assert 5 if tcpi_rto else 0",
        "assert all([tcpi_snd_cwnd == x for x in [10]]) and sum(i for i in range(4) if i % 2) == 4",
        "assert [(a, b) for a in (1, 2) for b in 'xy'][1] == (1, 'y') and {n: n * n for n in (2, 3)}[3] == 9",
        "n = 7\nassert [n for n in (1, 2)] == [1, 2] and n == 7 and len({n for n in (1, 1, 2)}) == 2",
        "near = lambda a, b=10: abs(a - b) <= 1\nassert near(9) and not near(9, 5)",
        "l = [1, 2, 3, 4]\nassert l[1:3] == [2, 3] and l[:-1] == [1, 2, 3] and l[::-2] == [4, 2] and 'abc'[1:] == 'bc'",
        "assert {1, 2} & {tcpi_snd_cwnd, 2} and not {1} & {2} and {1} | {2} == {1, 2} and {1, 2} - {1} == {2}",
        "try:\n  assert 0\nexcept AssertionError as e:\n  x = 1\nelse:\n  x = 2\nfinally:\n  y = 3\nassert x == 1 and y == 3",
        "try:\n  x = 1 / 0\nexcept AssertionError:\n  x = 1\nexcept ZeroDivisionError:\n  x = 2\nassert x == 2",
        "import re, struct\nassert 1",
        "assert all([1, True]) and not any([0]) and 'a,b'.split(',') == ['a', 'b']",
        "'''a comment\nin quotes'''\nassert 1",
        "\nassert 1\n\n# nothing\nassert 2\n",
        "assert not (1 == 2) and (not 0) == True and 1 + True == 2 and not not 3",
        "assert 0x10 + 0b11 + 0o7 + 1_000 == 1026 and ~1 == -2 and 6 ^ 3 == 5",
    ] {
        assert!(holds(&[text]), "{text}");
    }
    assert!(holds(&["x = tcpi_rto", "x += 1", "assert x == 300001"]), "names last");
    assert!(holds(&["def f():\n  return tcpi_snd_cwnd", "assert f() == 10"]));
}

#[test]
fn what_does_not_hold_is_told_with_its_numbers() {
    for text in [
        "assert tcpi_snd_cwnd == 11, 'cwnd'",
        "assert 1 < tcpi_snd_cwnd < 10 or 0",
        "assert 1 // 0 == 0",
        "assert tcpi_rtt > 0",
        "assert 'a' > 1",
        "assert 2 ** 200",
        "while True: pass",
        "def f(): return f()\nf()",
        "assert [1][1]",
        "raise Exception('x')",
        "import sys\nsys.exit(1)",
        "for i in 3: pass",
        "x = 'a' * 100000000",
        "x = list(range(10000000000))",
    ] {
        assert!(!holds(&[text]), "{text}");
    }
    let mut known = BTreeSet::new();
    let block = parse("x = 4\nassert x > tcpi_snd_cwnd, 'too %s' % 'small'", 7, &mut known).unwrap();
    let trouble = block.run(&mut Interpreter::default(), &lookup).unwrap_err();
    assert_eq!(trouble.line, 8);
    let Kind::Failed { what, expected, seen } = trouble.kind else { panic!("it failed") };
    assert_eq!(what, "the assertion does not hold");
    assert_eq!(expected, "assert x > tcpi_snd_cwnd, 'too %s' % 'small'");
    assert_eq!(seen, "x is 4, tcpi_snd_cwnd is 10, too small");
}

#[test]
fn what_a_handler_does_not_catch_or_raises_again_is_told() {
    for text in [
        "try:\n  assert 0\nexcept ValueError:\n  pass",
        "try:\n  assert 0\nexcept AssertionError:\n  raise",
        "try:\n  x = 1\nfinally:\n  assert 0",
        "x = [1][0:1:0]",
        "f = lambda: f()\nf()",
    ] {
        assert!(!holds(&[text]), "{text}");
    }
}

#[test]
fn what_is_not_there_is_refused_before_anything_runs() {
    for text in [
        "import subprocess",
        "from os import path",
        "printf(1)",
        "assert",
        "assert foo == 1",
        "assert 1 +",
        "assert (1",
        "assert 'a",
        "assert 1 2",
        "x += 1",
        "tcpi_rto = 1",
        "assert tcpi_colour",
        "assert bbr_bw > 0",
        "assert 1x",
        "except: pass",
        "class A: pass",
        "x = [n for]",
        "x = [1, n for n in (1, 2)]",
        "x = [m for n in (1, 2)]",
        "x = lambda",
        "x = [1][0:1:1:1]",
        "x = {1: 2, 3}",
        "import re\nassert re.match('1', '1')",
        "if 1:\nassert 1",
        "else: pass",
        "with open('/etc/passwd') as f: pass",
        "assert eval('1')",
        "x = 5 ? 6",
    ] {
        assert!(parse(text, 1, &mut BTreeSet::new()).is_err(), "{text}");
    }
}

#[test]
fn what_python_would_go_on_with_is_refused_and_does_not_fail() {
    for text in [
        "x = list(range(200000, 600000, 1))",
        "x = 'a' * 1000000000000",
        "x = [0] * 10**12",
        "x = 2 ** 200",
        "while 1: pass",
    ] {
        let block = parse(text, 1, &mut BTreeSet::new()).unwrap();
        let trouble = block.run(&mut Interpreter::default(), &lookup).unwrap_err();
        assert!(matches!(trouble.kind, Kind::Unsupported(_)), "{text}: {trouble:?}");
    }
}

proptest! {
    #[test]
    fn no_code_makes_the_reader_or_the_evaluator_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "assert", "if", "else", "elif", "for", "in", "while", "def", "return", "f", "x", "=", "==", "+=", "(", ")",
            "[", "]", "{", "}", ":", ",", ".", "\n", "\n  ", "\n\t", "1", "0", "2.5", "'a'", "f'{x}'", "\"%d\"", "%", "**",
            "//", "<<", "-", "not", "and", "tcpi_rto", "range", "len", "append", "print", "lambda", "try", "except", "finally", "&", "|", "1e400", "99999999999999999999",
        ]), 0..30)
    ) {
        if let Ok(block) = parse(&words.join(" "), 1, &mut BTreeSet::new()) {
            let _ = block.run(&mut Interpreter::default(), &lookup);
        }
    }
}
