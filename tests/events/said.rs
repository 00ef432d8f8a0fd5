//! What the log says of an API server's trouble: what it is, once.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;
use std::time::Duration;

use nvmeof_csi::report::outcome::Reason;

use crate::api_server::{Behaviour, Scene, of_pod};

const MINUTE: Duration = Duration::from_secs(60);

thread_local! {
    /// What was logged in this thread, in which the poster runs too.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of this thread.
#[derive(Debug)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// One for all threads: what is logged at a place is decided for all of them at once.
    fn begin() -> Log {
        static LOGGING: Once = Once::new();
        LOGGING.call_once(|| {
            let log = tracing_subscriber::fmt().with_ansi(false);
            let log = log.with_writer(|| Log).finish();
            tracing::subscriber::set_global_default(log).expect("the only one");
        });
        Log.take("");
        Log
    }

    /// The lines since the last call that say this.
    fn take(&self, words: &str) -> Vec<String> {
        let lines = String::from_utf8(LINES.take()).expect("text");
        let lines = lines.lines().filter(|line| line.contains(words));
        lines.map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_trouble_is_said_once_and_so_is_its_end() {
    let log = Log::begin();
    let mut scene = Scene::new(Behaviour::Gone);
    for (behaviour, says) in [
        (Behaviour::Gone, "cannot tell where the API server is"),
        (Behaviour::Silent, "the API server does not answer"),
        (Behaviour::Refuses(401), "not now"),
        (Behaviour::Refuses(503), "not now"),
    ] {
        scene.behave(behaviour);
        for number in 0..10 {
            let name = format!("db-{number}");
            scene.reporter.tell(of_pod(&name, Reason::PathLost));
            scene.reporter.came(&name, "pv-1");
            scene.pass(MINUTE).await;
        }
        let said = log.take("events wait for it");
        assert_eq!(said.len(), 1, "{behaviour:?}: {said:#?}");
        assert!(
            said[0].contains("WARN") && said[0].contains(says),
            "{said:?}"
        );
    }
    scene.behave(Behaviour::Works);
    scene.pass(5 * MINUTE).await;
    let said = log.take("no event waits for the API server any more");
    assert_eq!(said.len(), 1, "{said:#?}");
    scene.behave(Behaviour::Gone);
    scene.reporter.tell(of_pod("db-0", Reason::DataLost));
    scene.pass(5 * MINUTE).await;
    assert_eq!(log.take("events wait for it").len(), 1, "it began anew");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_once_until_an_event_is_taken() {
    let log = Log::begin();
    let mut scene = Scene::new(Behaviour::Refuses(403));
    for round in 0..2 {
        for number in 0..10 {
            let name = format!("db-{round}-{number}");
            scene.reporter.tell(of_pod(&name, Reason::PathLost));
        }
        scene.pass(5 * MINUTE).await;
        let said = log.take("the API server takes no event");
        assert_eq!(said.len(), 1, "{said:#?}");
        scene.behave(Behaviour::Works);
        scene.reporter.tell(of_pod("db-0", Reason::PathLost));
        scene.pass(MINUTE).await;
        scene.behave(Behaviour::Refuses(403));
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_are_refused_are_said_once() {
    let log = Log::begin();
    let mut scene = Scene::new(Behaviour::ForbidsLooks);
    for number in 0..10 {
        let name = format!("db-{number}");
        scene.reporter.came(&name, "pv-1");
        scene.reporter.tell(of_pod(&name, Reason::PathLost));
        scene.pass(MINUTE).await;
    }
    let said = log.take("cannot be looked up");
    assert_eq!(said.len(), 1, "{said:#?}");
}
