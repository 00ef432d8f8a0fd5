//! What a client sends, frame by frame, with its header blocks written anew. Pure: bytes in, bytes
//! out.
//!
//! Padding and the deprecated priority of a HEADERS frame are left out, and a block is one frame.
//! Invariant: what is wrong is never mended. It goes on to the server as it is, or as something that
//! is wrong as well, and everything behind it passes untouched: the server ends the connection.

use super::block::{BlockError, Blocks};
use super::frame::{self, Frame};
use crate::causes::chain;

/// How a client begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest header block that is taken: twice what its fields may have when they are decoded.
const MAX_BLOCK: usize = 32 * 1024;
/// In how many frames. One is enough for everything that a client may send; h2, which sees none of
/// them, has such a limit too.
const MAX_FRAMES: usize = 32;
/// A header block that is none: it names the entry 0 of the table (RFC 7541, 6.1), for which the server
/// ends the connection.
const NO_BLOCK: &[u8] = &[0x80];

/// Reads one connection.
pub(super) struct Rewriter {
    state: State,
    blocks: Blocks,
    /// A header block whose end has not come yet.
    open: Option<Open>,
}

/// What comes next.
enum State {
    /// The rest of the preface.
    Preface { seen: usize },
    /// The rest of what stands before a payload.
    Header(Vec<u8>),
    /// So much of a payload that passes.
    Payload { left: usize },
    /// The rest of a payload that belongs to a header block.
    Fragment { frame: Frame, payload: Vec<u8> },
    /// Whatever it is, it passes.
    Anything,
}

/// The frames of a header block so far.
struct Open {
    stream: u32,
    end_stream: bool,
    block: Vec<u8>,
    frames: usize,
}

impl Rewriter {
    pub(super) fn new() -> Rewriter {
        Rewriter {
            state: State::Preface { seen: 0 },
            blocks: Blocks::new(),
            open: None,
        }
    }

    /// Takes what the client sent, in pieces of any size, and writes behind `out` what the server
    /// reads.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Anything);
            let (taken, next) = match state {
                State::Preface { seen } => preface(seen, bytes, out),
                State::Header(seen) => self.header(seen, bytes, out),
                State::Payload { left } => pass(left, bytes, out),
                State::Fragment { frame, payload } => self.fragment(frame, payload, bytes, out),
                State::Anything => {
                    out.extend_from_slice(bytes);
                    (bytes.len(), State::Anything)
                }
            };
            self.state = next;
            bytes = &bytes[taken..];
        }
    }

    fn header(&mut self, mut seen: Vec<u8>, bytes: &[u8], out: &mut Vec<u8>) -> (usize, State) {
        let taken = bytes.len().min(frame::HEADER - seen.len());
        seen.extend_from_slice(&bytes[..taken]);
        let next = match <[u8; frame::HEADER]>::try_from(&seen[..]) {
            Ok(whole) => self.begin(Frame::parse(whole), out),
            Err(_) => State::Header(seen),
        };
        (taken, next)
    }

    /// What becomes of a frame, known by what stands before its payload.
    fn begin(&mut self, frame: Frame, out: &mut Vec<u8>) -> State {
        let belongs = match &self.open {
            // Nothing may come between the frames of a block (RFC 9113, 6.10).
            Some(open) => frame.kind == frame::CONTINUATION && frame.stream == open.stream,
            None => frame.kind != frame::CONTINUATION,
        };
        let is_block = matches!(frame.kind, frame::HEADERS | frame::CONTINUATION);
        let fits = frame.length <= frame::MAX_PAYLOAD;
        if !belongs || (is_block && !fits) {
            if let Some(open) = self.open.take() {
                // The beginning of a block whose end will not come.
                open.frame(0, 0).write(out);
            }
            frame.write(out);
            return State::Anything;
        }
        if is_block {
            // An empty payload has ended before it began.
            let payload = Vec::with_capacity(frame.length);
            return self.fragment(frame, payload, &[], out).1;
        }
        frame.write(out);
        match frame.length {
            0 => State::Header(Vec::new()),
            left => State::Payload { left },
        }
    }

    fn fragment(
        &mut self,
        frame: Frame,
        mut payload: Vec<u8>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> (usize, State) {
        let taken = bytes.len().min(frame.length - payload.len());
        payload.extend_from_slice(&bytes[..taken]);
        let next = match payload.len() == frame.length {
            true => self.add(frame, &payload, out),
            false => State::Fragment { frame, payload },
        };
        (taken, next)
    }

    /// Adds a whole frame to the header block that it belongs to.
    fn add(&mut self, frame: Frame, payload: &[u8], out: &mut Vec<u8>) -> State {
        let mut open = self.open.take().unwrap_or_else(|| Open {
            stream: frame.stream,
            end_stream: frame.has(frame::END_STREAM),
            block: Vec::new(),
            frames: 0,
        });
        let fragment = match frame.kind {
            frame::HEADERS => frame.fragment(payload),
            _ => Some(payload),
        };
        open.frames += 1;
        open.block.extend_from_slice(fragment.unwrap_or_default());
        let fits = open.block.len() <= MAX_BLOCK && open.frames <= MAX_FRAMES;
        if fragment.is_none() || !fits {
            let (bytes, frames) = (open.block.len(), open.frames);
            tracing::warn!(
                bytes,
                frames,
                "a client sent a malformed or endless header block"
            );
            open.write(NO_BLOCK, out);
            return State::Anything;
        }
        if frame.has(frame::END_HEADERS) {
            return self.end(&open, out);
        }
        self.open = Some(open);
        State::Header(Vec::new())
    }

    fn end(&mut self, open: &Open, out: &mut Vec<u8>) -> State {
        match self.blocks.rewrite(&open.block) {
            Ok(block) => {
                open.write(&block, out);
                State::Header(Vec::new())
            }
            Err(error) => {
                tell(&error);
                open.write(NO_BLOCK, out);
                // The table is not what the client believes: no later block can be read.
                State::Anything
            }
        }
    }
}

fn preface(seen: usize, bytes: &[u8], out: &mut Vec<u8>) -> (usize, State) {
    let wanted = &PREFACE[seen..];
    let taken = bytes.len().min(wanted.len());
    out.extend_from_slice(&bytes[..taken]);
    let next = match bytes[..taken] == wanted[..taken] {
        false => State::Anything,
        true if taken == wanted.len() => State::Header(Vec::new()),
        true => State::Preface { seen: seen + taken },
    };
    (taken, next)
}

fn pass(left: usize, bytes: &[u8], out: &mut Vec<u8>) -> (usize, State) {
    let taken = bytes.len().min(left);
    out.extend_from_slice(&bytes[..taken]);
    let next = match left - taken {
        0 => State::Header(Vec::new()),
        left => State::Payload { left },
    };
    (taken, next)
}

impl Open {
    fn frame(&self, flags: u8, length: usize) -> Frame {
        let end_stream = match self.end_stream {
            true => frame::END_STREAM,
            false => 0,
        };
        Frame {
            length,
            kind: frame::HEADERS,
            flags: flags | end_stream,
            stream: self.stream,
        }
    }

    /// Writes `block`, which fits into a frame.
    fn write(&self, block: &[u8], out: &mut Vec<u8>) {
        self.frame(frame::END_HEADERS, block.len()).write(out);
        out.extend_from_slice(block);
    }
}

fn tell(error: &BlockError) {
    let error = chain(error);
    tracing::warn!(
        error,
        "a client of a socket sent headers that nobody can read"
    );
}

#[cfg(test)]
mod tests;
