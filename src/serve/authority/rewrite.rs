//! What a client sends, frame by frame, with its header blocks written anew. Pure: bytes in, bytes
//! out.
//!
//! Invariant: what is wrong is never mended. It goes on to the server as it is, or as something that
//! is wrong in the same way, and everything behind it passes untouched: the server ends the
//! connection with the error that the protocol has for it.

use super::block::{BlockError, Blocks};
use super::frame::{self, Frame};
use crate::causes::chain;

/// How a client begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest header block that is taken, in any number of frames.
const MAX_BLOCK: usize = 64 * 1024;
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
            let taken = match &mut self.state {
                State::Preface { .. } => self.preface(bytes, out),
                State::Header(_) => self.header(bytes, out),
                State::Payload { left } => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    out.extend_from_slice(&bytes[..taken]);
                    if *left == 0 {
                        self.state = State::Header(Vec::new());
                    }
                    taken
                }
                State::Fragment { .. } => self.fragment(bytes, out),
                State::Anything => {
                    out.extend_from_slice(bytes);
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    fn preface(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let State::Preface { seen } = &mut self.state else {
            return 0;
        };
        let wanted = &PREFACE[*seen..];
        let taken = bytes.len().min(wanted.len());
        out.extend_from_slice(&bytes[..taken]);
        *seen += taken;
        if bytes[..taken] != wanted[..taken] {
            self.state = State::Anything;
        } else if *seen == PREFACE.len() {
            self.state = State::Header(Vec::new());
        }
        taken
    }

    fn header(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let State::Header(seen) = &mut self.state else {
            return 0;
        };
        let taken = bytes.len().min(frame::HEADER - seen.len());
        seen.extend_from_slice(&bytes[..taken]);
        if let Ok(whole) = <[u8; frame::HEADER]>::try_from(&seen[..]) {
            self.begin(Frame::parse(whole), out);
        }
        taken
    }

    /// What becomes of a frame, known by what stands before its payload.
    fn begin(&mut self, frame: Frame, out: &mut Vec<u8>) {
        let belongs = match &self.open {
            // Nothing may come between the frames of a block (RFC 9113, 6.10).
            Some(open) => frame.kind == frame::CONTINUATION && frame.stream == open.stream,
            None => frame.kind != frame::CONTINUATION,
        };
        let is_block = matches!(frame.kind, frame::HEADERS | frame::CONTINUATION);
        let fits = frame.length <= frame::MAX_PAYLOAD;
        if !belongs || (is_block && !fits) {
            self.give_up_open(out);
            frame.write(out);
            self.state = State::Anything;
        } else if is_block {
            let payload = Vec::with_capacity(frame.length);
            self.state = State::Fragment { frame, payload };
            // An empty payload has ended before it began.
            self.fragment(&[], out);
        } else {
            frame.write(out);
            self.state = match frame.length {
                0 => State::Header(Vec::new()),
                left => State::Payload { left },
            };
        }
    }

    fn fragment(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let State::Fragment { frame, payload } = &mut self.state else {
            return 0;
        };
        let taken = bytes.len().min(frame.length - payload.len());
        payload.extend_from_slice(&bytes[..taken]);
        if payload.len() == frame.length {
            let (frame, payload) = (*frame, std::mem::take(payload));
            self.state = State::Header(Vec::new());
            self.add(frame, &payload, out);
        }
        taken
    }

    /// Adds a whole frame to the header block that it belongs to.
    fn add(&mut self, frame: Frame, payload: &[u8], out: &mut Vec<u8>) {
        let fragment = match frame.kind {
            frame::HEADERS => frame.fragment(payload),
            _ => Some(payload),
        };
        let Some(fragment) = fragment else {
            frame.write(out);
            out.extend_from_slice(payload);
            self.state = State::Anything;
            return;
        };
        let mut open = self.open.take().unwrap_or_else(|| Open {
            stream: frame.stream,
            end_stream: frame.has(frame::END_STREAM),
            block: Vec::new(),
        });
        open.block.extend_from_slice(fragment);
        if open.block.len() > MAX_BLOCK {
            tracing::warn!(limit = MAX_BLOCK, "a header block has too many bytes");
            open.write(NO_BLOCK, out);
            self.state = State::Anything;
        } else if frame.has(frame::END_HEADERS) {
            self.end(&open, out);
        } else {
            self.open = Some(open);
        }
    }

    fn end(&mut self, open: &Open, out: &mut Vec<u8>) {
        match self.blocks.rewrite(&open.block) {
            Ok(block) => open.write(&block, out),
            Err(error) => {
                tell(&error);
                open.write(NO_BLOCK, out);
                // The table is not what the client believes: no later block can be read.
                self.state = State::Anything;
            }
        }
    }

    /// Writes the beginning of a block whose end will not come.
    fn give_up_open(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            open.frame(frame::HEADERS, 0, 0).write(out);
        }
    }
}

impl Open {
    fn frame(&self, kind: u8, flags: u8, length: usize) -> Frame {
        let end_stream = match self.end_stream && kind == frame::HEADERS {
            true => frame::END_STREAM,
            false => 0,
        };
        Frame {
            length,
            kind,
            flags: flags | end_stream,
            stream: self.stream,
        }
    }

    /// Writes `block` in as many frames as it takes.
    fn write(&self, block: &[u8], out: &mut Vec<u8>) {
        let mut kind = frame::HEADERS;
        let mut rest = block;
        loop {
            let (now, later) = rest.split_at(rest.len().min(frame::MAX_PAYLOAD));
            let flags = match later.is_empty() {
                true => frame::END_HEADERS,
                false => 0,
            };
            self.frame(kind, flags, now.len()).write(out);
            out.extend_from_slice(now);
            if later.is_empty() {
                return;
            }
            (kind, rest) = (frame::CONTINUATION, later);
        }
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
