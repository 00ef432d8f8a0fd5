//! Connections whose client names the server as it likes.
//!
//! A client of a Unix socket has no host name to send as `:authority`. kubelet dials the bare path of
//! the registration socket, and grpc-go then sends that path, percent-encoded (Kubernetes 1.37.2;
//! `dial` in pkg/kubelet/pluginmanager/operationexecutor). RFC 9113, 8.3.1 wants the authority of a
//! URI there, h2 resets such a stream with PROTOCOL_ERROR, and no code of the services is ever asked.
//! So what comes in is read here first: an authority that is none becomes `localhost`, which is what
//! newer clients send for a Unix socket by themselves. Nothing here looks at the authority again.
//!
//! What goes out, and everything that comes in beside header blocks, passes as it is.

mod block;
mod frame;
mod rewrite;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use rewrite::Rewriter;

/// How much memory a connection keeps between two reads.
const KEPT: usize = 4096;

/// A connection as its client would speak if it knew a name for the server.
pub(super) struct AnyAuthority<S> {
    stream: S,
    rewriter: Rewriter,
    /// Rewritten, and not yet read: from `read` on.
    ready: Vec<u8>,
    read: usize,
}

impl<S> AnyAuthority<S> {
    /// Of a connection of which nothing was read yet.
    pub(super) fn new(stream: S) -> AnyAuthority<S> {
        AnyAuthority {
            stream,
            rewriter: Rewriter::new(),
            ready: Vec::new(),
            read: 0,
        }
    }

    /// Hands over as much of what is ready as fits.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = &self.ready[self.read..];
        let now = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..now]);
        self.read += now;
        if self.read == self.ready.len() {
            self.ready.clear();
            self.ready.shrink_to(KEPT);
            self.read = 0;
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for AnyAuthority<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("AnyAuthority")
            .field(&self.stream)
            .finish()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() && buffer.remaining() > 0 {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let fresh = &buffer.filled()[before..];
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rewriter.push(fresh, &mut this.ready);
            buffer.set_filled(before);
        }
        this.hand_over(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: Connected> Connected for AnyAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}
