//! What clients of other libraries send to a socket, byte by byte.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use nvmeof_csi::csi::registration_proto::InfoRequest;

use crate::plugin::Running;

/// How a client begins (RFC 9113, 3.4), with settings that change nothing.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
/// What h2 0.4 says of every block that it cannot decode.
const PROTOCOL_ERROR: u8 = 0x1;

fn fixture(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/grpc");
    std::fs::read(fixtures.join(name)).expect("a fixture")
}

fn socket(running: &Running) -> PathBuf {
    let directory = running.options.registration_dir.as_ref();
    directory.expect("it registers").join("test.csi-reg.sock")
}

/// Sends `bytes` and nothing more, and returns the kind and the payload of each frame of the answer.
async fn answer(socket: &Path, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    stream.shutdown().await.expect("it is open");
    let mut read = Vec::new();
    let all = stream.read_to_end(&mut read);
    let all = timeout(Duration::from_secs(60), all).await;
    match all.expect("it closes") {
        Ok(_) => {}
        // What the server has not read when it closes is thrown away, and the client hears of that.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    let (mut frames, mut rest) = (Vec::new(), &read[..]);
    while let Some(([l2, l1, l0, kind, ..], after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *l2, *l1, *l0]);
        let (payload, after) = after.split_at(length.try_into().expect("it fits"));
        frames.push((*kind, payload.to_vec()));
        rest = after;
    }
    frames
}

#[tokio::test]
async fn clients_that_send_a_path_as_authority_are_answered() {
    let running = Running::start().await;
    for name in ["go-1.29.1.bin", "go-1.82.1.bin", "java-1.76.0.bin"] {
        let frames = answer(&socket(&running), &fixture(name)).await;
        let reset = frames.iter().any(|(kind, _)| *kind == RST_STREAM);
        let told = frames.iter().any(|(_, payload)| {
            let words = b"CSIPlugin";
            payload.windows(words.len()).any(|window| window == words)
        });
        assert!(told && !reset, "{name}: {frames:?}");
    }
}

#[tokio::test]
async fn headers_that_are_no_hpack_end_their_connection_alone() {
    let running = Running::start().await;
    let headers = b"\0\0\x04\x01\x05\0\0\0\x01\xff\xff\xff\xff";
    let frames = answer(&socket(&running), &[BEGINNING, headers].concat()).await;
    let goaway = frames.iter().find(|(kind, _)| *kind == GOAWAY);
    let (_, payload) = goaway.expect("it says why");
    // The last stream that was looked at, then the reason (RFC 9113, 6.8).
    assert_eq!(payload[7], PROTOCOL_ERROR, "{frames:?}");
    let answer = running.registration().await.get_info(InfoRequest {}).await;
    answer.expect("another connection is answered");
}

#[tokio::test]
async fn what_is_no_http_2_is_refused_and_hurts_nobody() {
    let running = Running::start().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI", b""] {
        let frames = answer(&socket(&running), garbage).await;
        let kinds: Vec<u8> = frames.iter().map(|(kind, _)| *kind).collect();
        // The server's settings at most, and why it ends.
        assert!(
            matches!(kinds[..], [] | [SETTINGS] | [SETTINGS, GOAWAY]),
            "{frames:?}"
        );
    }
    let answer = running.registration().await.get_info(InfoRequest {}).await;
    answer.expect("another connection is answered");
}
