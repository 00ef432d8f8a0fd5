//! The plugin's offer to kubelet: the socket in kubelet's directory of plugins.
//!
//! A plugin that kubelet cannot find keeps what is staged all the same, so this never ends the
//! program: it tells, `/ready` says it too, and it is tried again.

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::socket::Socket;
use super::sockets::{OnSocket, listen_for, serve};
use super::{NodeOptions, ServeError, ended};
use crate::causes::chain;
use crate::csi::registration::Registration;
use crate::csi::registration_proto::registration_server::RegistrationServer;
use crate::host::requirements::Check;
use crate::report::readiness::{self, Readiness};

type Service = RegistrationServer<Registration>;

/// How long to wait before the socket is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long kubelet may say nothing before that is told. It watches the directory and asks within a
/// second; one that is starting looks through it first.
const SILENCE: Duration = Duration::from_secs(30);

/// What is offered, and where.
#[derive(Debug)]
pub(super) struct Offer {
    path: PathBuf,
    service: Service,
    readiness: Arc<Readiness>,
    bound: Option<OnSocket<Service>>,
}

impl Offer {
    /// Offers the plugin, if it is to be: with a socket for calls, and a directory to be found in.
    pub(super) fn to_kubelet(options: &NodeOptions, readiness: &Arc<Readiness>) -> Option<Offer> {
        let endpoint = options.endpoint.clone()?;
        let directory = options.registration_dir.as_deref()?;
        let name = options.driver_name.clone();
        let path = Registration::socket(directory, &name);
        let service = Registration::new(name, endpoint, Arc::clone(readiness));
        let mut offer = Offer {
            path,
            service: RegistrationServer::new(service),
            readiness: Arc::clone(readiness),
            bound: None,
        };
        offer.listen();
        Some(offer)
    }

    /// Answers kubelet until the other side of `stopped` is dropped. The socket goes with it.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub(super) async fn stand(
        offer: Option<Offer>,
        stopped: watch::Receiver<()>,
    ) -> Result<(), ServeError> {
        let Some(mut offer) = offer else {
            ended(stopped).await;
            return Ok(());
        };
        loop {
            tokio::select! {
                () = offer.wait_for_socket() => {}
                () = ended(stopped.clone()) => return Ok(()),
            }
            let Some((bound, socket)) = offer.bound.take() else {
                continue;
            };
            tokio::select! {
                served = serve(Some(bound), stopped.clone()) => return served,
                () = wait_until_gone(&socket) => offer.hide(format!(
                    "somebody took {} away",
                    offer.path.display()
                )),
                never = tell_silence(&offer.readiness) => match never {},
            }
        }
    }

    async fn wait_for_socket(&mut self) {
        let mut again = interval(AGAIN);
        while self.bound.is_none() {
            again.tick().await;
            self.listen();
        }
    }

    /// Binds the socket if it can be had.
    fn listen(&mut self) {
        match listen_for(&self.path, self.service.clone()) {
            Ok(bound) => {
                self.bound = Some(bound);
                self.readiness.note(readiness::Registration::Unheard);
            }
            Err(error) => self.hide(chain(&error)),
        }
    }

    /// Tells once that kubelet cannot find the plugin.
    fn hide(&self, error: String) {
        let hidden = readiness::Registration::Hidden(error.clone());
        if self.readiness.note(hidden) {
            tracing::error!(error, "kubelet cannot find this plugin; trying again");
        }
    }
}

/// Is done when the file of the socket is not there any more, or another's: kubelet has taken that for
/// the end of the plugin.
async fn wait_until_gone(socket: &Socket) {
    let mut look = interval(AGAIN);
    while socket.is_there() {
        look.tick().await;
    }
}

/// Tells once if kubelet does not register the plugin.
async fn tell_silence(readiness: &Readiness) -> Infallible {
    if let Some(Check {
        finding,
        what_to_do,
        ..
    }) = silence(readiness).await
    {
        let seconds = SILENCE.as_secs();
        tracing::error!(seconds, finding, what_to_do, "no pod gets a volume");
    }
    pending().await
}

/// What is wrong, if kubelet has not decided when it should have.
async fn silence(readiness: &Readiness) -> Option<Check> {
    sleep(SILENCE).await;
    match readiness.registration() {
        readiness::Registration::Unheard | readiness::Registration::Asked => {
            readiness.unregistered()
        }
        // Told when it came.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_and_an_answer_is_not() {
        let readiness = Readiness::anywhere();
        for (said, words) in [
            (readiness::Registration::Unheard, Some("has not registered")),
            (readiness::Registration::Asked, Some("has asked")),
            (readiness::Registration::Accepted, None),
            (readiness::Registration::Refused("old".to_owned()), None),
        ] {
            readiness.note(said);
            let told = silence(&readiness).await.map(|check| check.finding);
            assert_eq!(told.is_some(), words.is_some(), "{told:?}");
            let words = words.unwrap_or_default();
            assert!(told.unwrap_or_default().contains(words));
        }
    }
}
