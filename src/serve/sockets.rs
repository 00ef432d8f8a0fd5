//! Services on Unix sockets, for clients that name the server as they like, and the admin address.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Server;

use super::any_address;
use super::authority::AnyAuthority;
use super::socket::Socket;
use super::{ServeError, ended, start};
use crate::csi::call::Calls;

/// How long a client may keep its connection after all calls are answered. Those that listen hear of
/// the end at once.
const LINGER: Duration = Duration::from_secs(1);

/// A service with the file of its socket, which stays until the last call is answered.
pub(super) type OnSocket<S> = (Bound<S>, Socket);

/// A service and where its calls come in.
#[derive(Debug)]
pub(super) struct Bound<S> {
    listener: UnixListener,
    service: S,
}

/// Listens at `path` for calls of `service`.
pub(super) fn listen_for<S>(path: &Path, service: S) -> Result<OnSocket<S>, ServeError> {
    let (socket, listener) = Socket::bind(path)?;
    let listener = UnixListener::from_std(listener);
    let listener = listener.map_err(|source| start("listening for calls", source))?;
    tracing::info!(socket = %path.display(), "listening");
    Ok((Bound { listener, service }, socket))
}

/// Serves until the other side of `stopped` is dropped and all connections are closed.
pub(super) async fn serve<S>(
    bound: Option<Bound<S>>,
    stopped: watch::Receiver<()>,
) -> Result<(), ServeError>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let Some(bound) = bound else {
        ended(stopped).await;
        return Ok(());
    };
    let incoming = UnixListenerStream::new(bound.listener)
        .map(|accepted: io::Result<_>| accepted.map(AnyAuthority::new));
    Server::builder()
        .serve_with_incoming_shutdown(bound.service, incoming, ended(stopped))
        .await?;
    Ok(())
}

/// Is done when all calls are answered and their clients had time to go.
pub(super) async fn drained(calls: &Calls) {
    calls.all_answered().await;
    tokio::time::sleep(LINGER).await;
}

/// Listens for probes and Prometheus.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener = any_address::bind(address);
    let listener = listener.map_err(|source| ServeError::Admin { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "listening for probes and Prometheus");
    Ok(listener)
}
