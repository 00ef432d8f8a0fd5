use loona_hpack::{Decoder, Encoder};
use proptest::prelude::*;

use super::super::frame::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, MAX_PAYLOAD};
use super::*;

const DATA: u8 = 0x0;
const SETTINGS: u8 = 0x4;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = payload.len();
    Frame {
        length,
        kind,
        flags,
        stream,
    }
    .write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn request() -> Fields {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/pluginregistration.Registration/GetInfo"),
        (":authority", "%2Fvar%2Flib%2Fkubelet%2Fa-reg.sock"),
        ("content-type", "application/grpc"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

fn encode(fields: &Fields) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| (&name[..], &value[..]));
    Encoder::new().encode(fields)
}

/// Everything that the server reads when the client sends `parts` behind the preface.
fn rewritten(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rewriter = Rewriter::new();
    rewriter.push(PREFACE, &mut out);
    for part in parts {
        rewriter.push(part, &mut out);
    }
    out.strip_prefix(PREFACE).expect("the preface").to_vec()
}

/// The frames in `bytes`, all of them whole.
fn frames(mut bytes: &[u8]) -> Vec<(Frame, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let frame = Frame::parse(*head);
        let (payload, rest) = rest.split_at(frame.length);
        frames.push((frame, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// The fields of the one header block in `frames`.
fn block(frames: &[(Frame, Vec<u8>)]) -> Fields {
    let block: Vec<u8> = frames
        .iter()
        .flat_map(|(_, payload)| payload.clone())
        .collect();
    Decoder::new().decode(&block).expect("a header block")
}

#[test]
fn a_request_for_a_path_is_one_for_localhost_and_all_else_is_as_it_was() {
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
    let data = frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 0]);
    let headers = frame(HEADERS, END_HEADERS, 1, &encode(&request()));
    let sent = [settings.clone(), headers, data.clone()].concat();
    let out = rewritten(&[&sent]);
    let out = out.strip_prefix(&settings[..]).expect("the settings");
    let out = out.strip_suffix(&data[..]).expect("the data");
    let frames = frames(out);
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].0.flags, frames[0].0.stream), (END_HEADERS, 1));
    let mut wanted = request();
    wanted[3].1 = b"localhost".to_vec();
    assert_eq!(block(&frames), wanted);
}

#[test]
fn a_block_in_many_frames_with_padding_is_one_block() {
    let block_bytes = encode(&request());
    let (first, rest) = block_bytes.split_at(7);
    let (second, third) = rest.split_at(0);
    let padded = [&[3][..], first, &[0; 3]].concat();
    let sent = [
        frame(HEADERS, END_STREAM | 0x08, 5, &padded),
        frame(CONTINUATION, 0, 5, second),
        frame(CONTINUATION, END_HEADERS, 5, third),
    ]
    .concat();
    let frames = frames(&rewritten(&[&sent]));
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].0.flags, END_HEADERS | END_STREAM);
    assert_eq!(block(&frames)[3].1, b"localhost");
}

#[test]
fn the_largest_block_that_is_taken_fits_into_a_frame() {
    let field = |length: usize| vec![(b"a".to_vec(), vec![b'x'; length])];
    let rewritten = |fields: &Fields| {
        let block = encode(fields);
        let (first, rest) = block.split_at(MAX_PAYLOAD.min(block.len()));
        let parts = [
            frame(HEADERS, 0, 1, first),
            frame(CONTINUATION, END_HEADERS, 1, rest),
        ];
        frames(&rewritten(&[&parts.concat()]))
    };
    let largest = field(MAX_PAYLOAD - 33);
    let written = rewritten(&largest);
    assert_eq!(written.len(), 1);
    assert_eq!(block(&written), largest);
    let refused = rewritten(&field(MAX_PAYLOAD - 32));
    assert_eq!(refused[0].1, NO_BLOCK);
}

#[test]
fn trailers_without_an_authority_stay_as_they_are() {
    let trailers = vec![(b"grpc-status".to_vec(), b"1".to_vec())];
    let sent = frame(HEADERS, END_HEADERS | END_STREAM, 1, &encode(&trailers));
    assert_eq!(block(&frames(&rewritten(&[&sent]))), trailers);
}

#[test]
fn what_cannot_be_decoded_becomes_a_block_that_is_none_and_ends_the_reading() {
    let garbage = frame(HEADERS, END_HEADERS, 1, &[0xff; 9]);
    let behind = frame(HEADERS, END_HEADERS, 3, &encode(&request()));
    let out = rewritten(&[&garbage, &behind]);
    let refused = frame(HEADERS, END_HEADERS, 1, NO_BLOCK);
    assert_eq!(out, [refused, behind].concat());
}

#[test]
fn a_block_without_end_is_refused() {
    let refused = frame(HEADERS, END_HEADERS, 1, NO_BLOCK);
    for (length, frames) in [(MAX_PAYLOAD, 2), (0, MAX_FRAMES)] {
        let chunk = vec![0_u8; length];
        let mut sent = frame(HEADERS, 0, 1, &chunk);
        for _ in 0..frames {
            sent.extend(frame(CONTINUATION, 0, 1, &chunk));
        }
        assert_eq!(rewritten(&[&sent]), refused, "{length}");
    }
}

#[test]
fn what_breaks_into_a_block_or_stands_outside_of_one_goes_on_to_the_server() {
    let begun = frame(HEADERS, 0, 1, &encode(&request()));
    let empty = frame(HEADERS, 0, 1, &[]);
    let data = frame(DATA, 0, 1, b"abc");
    assert_eq!(rewritten(&[&begun, &data]), [empty, data.clone()].concat());
    for wrong in [
        frame(CONTINUATION, END_HEADERS, 1, &encode(&request())),
        frame(HEADERS, END_HEADERS, 1, &vec![0; MAX_PAYLOAD + 1]),
    ] {
        assert_eq!(rewritten(&[&wrong]), wrong);
    }
    let padding = frame(HEADERS, END_HEADERS | 0x08, 1, &[9]);
    let refused = frame(HEADERS, END_HEADERS, 1, NO_BLOCK);
    assert_eq!(
        rewritten(&[&padding, &data]),
        [refused, frame(DATA, 0, 1, b"abc")].concat()
    );
}

#[test]
fn what_is_no_http_2_passes() {
    let mut out = Vec::new();
    let mut rewriter = Rewriter::new();
    rewriter.push(b"PRI", &mut out);
    rewriter.push(b"NT / HTTP/1.1\r\n", &mut out);
    rewriter.push(b"Host: a\r\n\r\n", &mut out);
    assert_eq!(out, b"PRINT / HTTP/1.1\r\nHost: a\r\n\r\n");
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same(cuts in proptest::collection::vec(1_usize..20, 1..200)) {
        let sent = [
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, 0, 1, &encode(&request())[..9]),
            frame(CONTINUATION, END_HEADERS, 1, &encode(&request())[9..]),
            frame(DATA, END_STREAM, 1, b"hello"),
            frame(HEADERS, END_HEADERS, 3, &encode(&request())),
        ]
        .concat();
        let mut parts = Vec::new();
        let mut rest = &sent[..];
        for cut in cuts {
            let (part, later) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = later;
        }
        parts.push(rest);
        prop_assert_eq!(rewritten(&parts), rewritten(&[&sent]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let blocks = [frame(HEADERS, END_HEADERS, 1, &bytes), bytes.clone()].concat();
        rewritten(&[&blocks]);
        rewritten(&[&bytes]);
    }
}
