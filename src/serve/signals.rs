//! SIGTERM, which kubelet sends before it ends a container, and SIGINT, which a terminal sends.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Both signals, from the moment they are caught.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Needs the event loop.
    pub(super) fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Drops `stop` at the first signal and returns at the second.
    pub(super) async fn drain_then_abort(mut self, stop: watch::Sender<()>) {
        let name = self.next().await;
        tracing::info!(signal = name, "draining: the calls under way are answered");
        drop(stop);
        let name = self.next().await;
        tracing::warn!(signal = name, "ending at once");
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
