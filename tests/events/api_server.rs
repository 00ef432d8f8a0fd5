//! The double, and a poster that posts to it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::outcome::{ClaimRef, Outcome, PodRef, Reason};
use nvmeof_csi::report::poster::Poster;
use nvmeof_csi::report::reporter::Reporter;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::service_fn;

/// How the API server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Behaviour {
    /// It does what it is asked.
    Works,
    /// It answers nothing.
    Silent,
    /// It lets nobody do anything.
    Forbids,
    /// It takes events and lets nobody look at anything.
    ForbidsLooks,
    /// It keeps no event, so that none can be patched.
    Forgets,
}

const ALL: [Behaviour; 5] = [
    Behaviour::Works,
    Behaviour::Silent,
    Behaviour::Forbids,
    Behaviour::ForbidsLooks,
    Behaviour::Forgets,
];

/// What the API server was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// An API server, and whoever tells and posts.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Arc<Metrics>,
    behaviour: Arc<AtomicU8>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Scene {
    /// A poster posts to an API server.
    pub(crate) fn new(behaviour: Behaviour) -> Scene {
        let (tell, asked) = mpsc::unbounded_channel();
        let behaviour = Arc::new(AtomicU8::new(behaviour as u8));
        let behaves = Arc::clone(&behaviour);
        let service = service_fn(move |request: Request<Body>| {
            let (tell, behaves) = (tell.clone(), Arc::clone(&behaves));
            async move { Ok::<_, Infallible>(answer(request, tell, &behaves).await) }
        });
        let metrics = Metrics::new(Vec::new());
        let (reporter, outcomes) = Reporter::new();
        let poster = Poster::new("test.csi", "worker-1", outcomes, Arc::clone(&metrics));
        let poster = poster.with_client(Client::new(service, "default"));
        tokio::spawn(poster.run());
        Scene {
            reporter,
            metrics,
            behaviour,
            asked,
        }
    }

    /// From now on the API server behaves so.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.behaviour.store(behaviour as u8, Ordering::SeqCst);
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("the poster runs")
    }

    /// The next request that would change something.
    pub(crate) async fn change(&mut self) -> Asked {
        loop {
            let asked = self.asked().await;
            if asked.method != Method::GET {
                return asked;
            }
        }
    }
}

/// Something that happened to a volume of a claim and a pod.
pub(crate) fn outcome(reason: Reason) -> Outcome {
    Outcome {
        volume_id: "volume-1".to_owned(),
        claim: Some(ClaimRef {
            namespace: "shop".to_owned(),
            name: "data".to_owned(),
        }),
        pods: vec![PodRef {
            namespace: "shop".to_owned(),
            name: "db-0".to_owned(),
        }],
        reason,
        message: "no path for 30 s".to_owned(),
    }
}

/// The same, of a claim that nobody named and of no pod.
pub(crate) fn unnamed(volume_id: &str) -> Outcome {
    Outcome {
        volume_id: volume_id.to_owned(),
        claim: None,
        pods: Vec::new(),
        ..outcome(Reason::PathLost)
    }
}

async fn answer(
    request: Request<Body>,
    tell: mpsc::UnboundedSender<Asked>,
    behaves: &AtomicU8,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let asked = Asked {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let path = asked.path.clone();
    // The test may have ended.
    let _told = tell.send(asked);
    let is_look = head.method == Method::GET;
    match ALL[usize::from(behaves.load(Ordering::SeqCst))] {
        Behaviour::Silent => pending().await,
        Behaviour::Forbids => refuse(403, "Forbidden"),
        Behaviour::ForbidsLooks if is_look => refuse(403, "Forbidden"),
        Behaviour::Forgets if head.method == Method::PATCH => refuse(404, "NotFound"),
        _ => respond(200, &stored(&head.method, &path)),
    }
}

/// What the cluster holds: everything that is asked for by name, and three volumes.
fn stored(method: &Method, path: &str) -> Value {
    if path.ends_with("/persistentvolumes") {
        return json!({
            "apiVersion": "v1", "kind": "PersistentVolumeList", "metadata": {},
            "items": [
                json!({ "metadata": { "name": "files" }, "spec": { "nfs": { "server": "a" } } }),
                volume("other.csi", "stolen"),
                volume("test.csi", "found"),
            ],
        });
    }
    let name = match *method {
        Method::POST => "made-x7k2p",
        _ => path.rsplit('/').next().expect("a part"),
    };
    let metadata = json!({ "name": name, "namespace": "shop", "uid": format!("uid-of-{name}") });
    if path.contains("/events") {
        json!({ "apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": {} })
    } else {
        json!({ "metadata": metadata })
    }
}

fn volume(driver: &str, claim: &str) -> Value {
    json!({
        "metadata": { "name": claim },
        "spec": {
            "csi": { "driver": driver, "volumeHandle": "volume-1" },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
                "name": claim, "uid": "4711", "resourceVersion": "12",
            },
        },
    })
}

fn refuse(code: u16, reason: &str) -> Response<Full<Bytes>> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {},
        "status": "Failure", "message": "not now", "reason": reason, "code": code,
    });
    respond(code, &status)
}

fn respond(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(code);
    let response = response.header("content-type", "application/json");
    let body = Full::new(Bytes::from(body.to_string()));
    response.body(body).expect("a response")
}
