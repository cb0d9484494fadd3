use super::*;
use proptest::prelude::*;

/// Decodes `input` in pieces of the given sizes (the last one repeats). The body and what follows it.
fn decode(input: &[u8], cuts: &[usize], want: usize) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    let mut decoder = Decoder::new();
    let (mut body, mut at, mut end) = (Vec::new(), 0, 0);
    let mut cuts = cuts.iter().copied().cycle();
    while end < input.len() {
        end = (end + cuts.next().unwrap_or(1).max(1)).min(input.len());
        while at < end {
            let step = decoder.step(&input[at..end], want)?;
            body.extend_from_slice(&input[at + step.skip..at + step.skip + step.data]);
            at += step.skip + step.data;
            if step.end {
                return Ok((body, Some(at)));
            }
        }
    }
    Ok((body, None))
}

#[test]
fn chunked_bodies_are_read_as_rfc_9112_7_1_says() {
    use ChunkError::*;
    let long = |n: usize| "x".repeat(n);
    for (what, input, expected) in [
        ("nothing but the last chunk", "0\r\n\r\n".to_string(), Ok("")),
        ("two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".into(), Ok("abcde")),
        (
            "hexadecimal digits of both cases",
            format!("A\r\n{0}\r\na\r\n{0}\r\n0\r\n\r\n", long(10)),
            Ok("xxxxxxxxxxxxxxxxxxxx"),
        ),
        ("leading zeros", "0003\r\nabc\r\n000\r\n\r\n".into(), Ok("abc")),
        ("extensions are ignored, §7.1.1", "3;a=b;c=\"d e\"\r\nabc\r\n0;z\r\n\r\n".into(), Ok("abc")),
        ("white space after the size", "3 \t;x\r\nabc\r\n0 \r\n\r\n".into(), Ok("abc")),
        ("trailers, §7.1.2", "1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n".into(), Ok("a")),
        ("an empty size line is not the end", "\r\n".into(), Err(Size)),
        ("an extension without a size", ";x\r\n".into(), Err(Size)),
        ("white space before the size", " 3\r\nabc\r\n".into(), Err(Size)),
        ("a sign", "+3\r\nabc\r\n".into(), Err(Size)),
        ("a prefix", "0x3\r\nabc\r\n".into(), Err(Size)),
        ("a size within white space", "3 3\r\nabc\r\n".into(), Err(Size)),
        ("a size beyond 64 bits", "10000000000000000\r\n".into(), Err(Size)),
        ("a size that would wrap to 3", "100000000000000003\r\nabc\r\n".into(), Err(Size)),
        ("LF without CR after the size", "3\nabc\r\n".into(), Err(Size)),
        ("LF without CR after an extension", "3;x\nabc\r\n".into(), Err(Line)),
        ("CR without LF after the size", "3\rabc\r\n".into(), Err(Line)),
        ("data that are longer than announced", "3\r\nabcd\r\n".into(), Err(Delimiter)),
        ("data without CRLF", "3\r\nabc0\r\n\r\n".into(), Err(Delimiter)),
        ("data with LF only", "3\r\nabc\n0\r\n\r\n".into(), Err(Delimiter)),
        ("a very long line", format!("{}3\r\nabc\r\n", "0".repeat(5000)), Err(Extensions)),
        ("a very long extension", format!("3;{}\r\n", long(5000)), Err(Extensions)),
        ("many extensions", format!("1;{}\r\na\r\n", long(4000)).repeat(5), Err(Extensions)),
        ("a trailer without a colon", "0\r\nX\r\n\r\n".into(), Err(Trailers)),
        ("a trailer line folded", "0\r\nX: y\r\n z\r\n\r\n".into(), Err(Trailers)),
        ("a trailer line with LF only", "0\r\nX: y\n\r\n".into(), Err(Line)),
        ("a very long trailer section", format!("0\r\nX: {}\r\n\r\n", long(9000)), Err(Trailers)),
    ] {
        for cuts in [&[usize::MAX][..], &[1], &[2, 3]] {
            let decoded = decode(input.as_bytes(), cuts, usize::MAX >> 1);
            match (&decoded, &expected) {
                (Ok((body, Some(end))), Ok(text)) => {
                    assert_eq!((body.as_slice(), *end), (text.as_bytes(), input.len()), "{what}");
                }
                _ => assert_eq!(decoded.clone().err(), expected.err(), "{what}: {decoded:?}"),
            }
        }
    }
}

#[test]
fn the_largest_size_is_taken_and_its_body_awaited() {
    assert_eq!(decode(b"ffffffffffffffff\r\nabc", &[1], 10), Ok((b"abc".to_vec(), None)));
}

#[test]
fn trailers_are_kept_apart_rfc_9112_7_1_2() {
    let mut decoder = Decoder::new();
    let step = decoder.step(b"0\r\nX-Sum: 42\r\nContent-Length: 7\r\n\r\nrest", 10).unwrap();
    assert!(step.end);
    assert_eq!(decoder.trailers().text("x-sum"), Some("42"));
    assert_eq!(decoder.trailers().len(), 2);
}

proptest! {
    #[test]
    fn what_is_encoded_in_any_chunks_is_decoded_from_any_pieces(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        cuts in prop::collection::vec(1usize..50, 1..6),
        want in 1usize..100,
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut out = crate::http::buffer::Buffer::default();
        for chunk in &chunks {
            crate::http::encode::body_with(&mut out, chunk.len(), true, |buf| {
                buf.copy_from_slice(chunk);
                chunk.len()
            });
        }
        crate::http::encode::last_chunk(&mut out, &Fields::new());
        let end = out.len();
        out.push(&rest);
        let decoded = decode(out.as_slice(), &cuts, want);
        prop_assert_eq!(decoded, Ok((chunks.concat(), Some(end))));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm_and_cuts_change_nothing(
        input in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b';'), any::<u8>()], 0..200),
        cuts in prop::collection::vec(1usize..10, 1..5),
    ) {
        let whole = decode(&input, &[usize::MAX], 1000);
        let pieces = decode(&input, &cuts, 3);
        match (&whole, &pieces) {
            (Ok(a), Ok(b)) => prop_assert_eq!(a, b),
            (a, b) => prop_assert_eq!(a.as_ref().err(), b.as_ref().err()),
        }
    }
}
