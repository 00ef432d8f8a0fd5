//! The double: a few objects, listed page by page, and the ways in which an API server fails.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower::service_fn;

/// How the API server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It does what it is asked.
    Works,
    /// It answers nothing about this kind.
    Silent(&'static str),
    /// It answers this code about this kind.
    Fails(&'static str, u16),
}

/// What the cluster holds.
#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    /// Objects by kind and name.
    objects: BTreeMap<(&'static str, String), Value>,
    /// Paths and queries, in order.
    asked: Vec<String>,
}

/// The API server. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    /// Each answer about PersistentVolumes takes one, so that a test can hold calls halfway.
    answers: Arc<Semaphore>,
}

/// The kinds, as they stand in paths.
pub(crate) const ATTACHMENTS: &str = "volumeattachments";
pub(crate) const VOLUMES: &str = "persistentvolumes";
pub(crate) const NODES: &str = "csinodes";

impl ApiServer {
    /// It has no objects.
    pub(crate) fn new() -> ApiServer {
        let state = State {
            behaviour: Behaviour::Works,
            objects: BTreeMap::new(),
            asked: Vec::new(),
        };
        ApiServer {
            state: Arc::new(Mutex::new(state)),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// Whoever asks it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Keeps an object, instead of one of the same name.
    pub(crate) fn put(&self, kind: &'static str, object: Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        self.state().objects.insert((kind, name.to_owned()), object);
    }

    /// Changes an object that is there.
    pub(crate) fn change(&self, kind: &'static str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        let object = state.objects.get_mut(&(kind, name.to_owned()));
        change(object.expect("it is there"));
    }

    /// Forgets an object.
    pub(crate) fn remove(&self, kind: &'static str, name: &str) {
        let removed = self.state().objects.remove(&(kind, name.to_owned()));
        assert!(removed.is_some(), "{kind} {name}");
    }

    /// From now on it behaves so.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Answers about PersistentVolumes wait from now on.
    pub(crate) fn hold(&self) {
        self.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Gives so many of the answers that wait.
    pub(crate) fn let_go(&self, answers: usize) {
        self.answers.add_permits(answers);
    }

    /// How often something with these words was asked.
    pub(crate) fn asked(&self, words: &str) -> usize {
        let state = self.state();
        state
            .asked
            .iter()
            .filter(|asked| asked.contains(words))
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked with it")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let uri = request.into_parts().0.uri;
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let kinds = [ATTACHMENTS, VOLUMES, NODES];
        let kind = kinds.into_iter().find(|kind| path.contains(kind));
        let kind = kind.expect("a kind that the controller asks for");
        let behaviour = {
            let mut state = self.state();
            state.asked.push(format!("{path}?{query}"));
            state.behaviour
        };
        match behaviour {
            Behaviour::Silent(about) if about == kind => pending().await,
            Behaviour::Fails(about, code) if about == kind => refuse(code),
            _ => {
                let answer = self.look(kind, path, query);
                if kind == VOLUMES {
                    let permit = self.answers.acquire().await.expect("it stays open");
                    permit.forget();
                }
                answer
            }
        }
    }

    /// What is there at this moment.
    fn look(&self, kind: &'static str, path: &str, query: &str) -> Response<Full<Bytes>> {
        let state = self.state();
        if let Some((_, name)) = path.split_once(&format!("/{kind}/")) {
            return match state.objects.get(&(kind, name.to_owned())) {
                Some(object) => respond(200, object),
                None => refuse(404),
            };
        }
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let limit = parameter("limit").expect("a limit").parse::<usize>();
        let from = parameter("continue").map_or(Ok(0), str::parse::<usize>);
        let (limit, from) = (limit.expect("a number"), from.expect("our own token"));
        let all = state.objects.iter().filter(|((of, _), _)| *of == kind);
        let all: Vec<&Value> = all.map(|(_, object)| object).collect();
        let page: Vec<&Value> = all.iter().copied().skip(from).take(limit).collect();
        let next = from + page.len();
        let token = match next < all.len() {
            true => next.to_string(),
            false => String::new(),
        };
        let list = json!({
            "apiVersion": "v1", "kind": "List", "metadata": { "continue": token }, "items": page,
        });
        respond(200, &list)
    }
}

fn refuse(code: u16) -> Response<Full<Bytes>> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "the double says no", "reason": "Because", "code": code,
    });
    respond(code, &status)
}

fn respond(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(code);
    let response = response.header("content-type", "application/json");
    let body = Full::new(Bytes::from(body.to_string()));
    response.body(body).expect("a response")
}
