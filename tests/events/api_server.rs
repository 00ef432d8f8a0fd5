//! The double, and a poster that posts to it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::outcome::{ClaimRef, Outcome, PodRef, Reason};
use nvmeof_csi::report::poster::{ApiError, Poster};
use nvmeof_csi::report::reporter::Reporter;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::service_fn;

/// Longer than anything is put off.
const PATIENCE: Duration = Duration::from_secs(600);

/// How the API server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// It does what it is asked.
    Works,
    /// It does that, and answers after so many seconds.
    Slow(u64),
    /// It answers nothing.
    Silent,
    /// It cannot be reached: what a pod knows of it cannot be read.
    Gone,
    /// It answers whatever it is asked with this code.
    Refuses(u16),
    /// It takes events and lets nobody look at anything.
    ForbidsLooks,
    /// It takes events and answers no look.
    SilentForLooks,
    /// It keeps no event, so that none can be patched.
    Forgets,
    /// It has trouble with whatever is in the namespace `sick`.
    Ails,
}

/// What the API server was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Asked {
    /// Whether it only looks.
    pub(crate) fn is_look(&self) -> bool {
        self.method == Method::GET
    }

    /// The object that an event is about.
    pub(crate) fn object(&self) -> &str {
        let name = self.body["involvedObject"]["name"].as_str();
        name.expect("an event about something")
    }
}

#[derive(Debug)]
struct Double {
    behaviour: Behaviour,
    /// The names of the events that it holds.
    events: BTreeSet<String>,
}

/// An API server, and whoever tells and posts.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Arc<Metrics>,
    double: Arc<Mutex<Double>>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Scene {
    /// A poster posts to an API server.
    pub(crate) fn new(behaviour: Behaviour) -> Scene {
        let (tell, asked) = mpsc::unbounded_channel();
        let double = Arc::new(Mutex::new(Double {
            behaviour,
            events: BTreeSet::new(),
        }));
        let metrics = Metrics::new(Vec::new());
        let (reporter, outcomes) = Reporter::counted(&metrics);
        let poster = Poster::new("test.csi", "worker-1", outcomes, Arc::clone(&metrics));
        let server = Arc::clone(&double);
        let poster = poster.with_connection(move || connect(&server, &tell));
        tokio::spawn(poster.run());
        Scene {
            reporter,
            metrics,
            double,
            asked,
        }
    }

    /// From now on the API server behaves so.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        lock(&self.double).behaviour = behaviour;
    }

    /// How many events it holds.
    pub(crate) fn held(&self) -> usize {
        lock(&self.double).events.len()
    }

    /// The next request, which comes within the longest time between two attempts.
    pub(crate) async fn asked(&mut self) -> Asked {
        let asked = timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("a request").expect("the poster runs")
    }

    /// The next request that would change something.
    pub(crate) async fn change(&mut self) -> Asked {
        loop {
            let asked = self.asked().await;
            if !asked.is_look() {
                return asked;
            }
        }
    }

    /// All that was asked by now and is not taken yet.
    pub(crate) fn all_asked(&mut self) -> Vec<Asked> {
        let mut all = Vec::new();
        while let Ok(asked) = self.asked.try_recv() {
            all.push(asked);
        }
        all
    }

    /// Lets this time pass, and tells what was asked in it.
    pub(crate) async fn pass(&mut self, time: Duration) -> Vec<Asked> {
        sleep(time).await;
        self.all_asked()
    }

    /// A number of the metrics, by name and labels; one that was never counted is 0.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.text().expect("numbers");
        let name = format!("nvmeof_csi_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |number| number.parse().expect("a number"))
    }
}

/// Something that happened to a volume of a claim and a pod; the claim is one that the double knows.
pub(crate) fn outcome(reason: Reason) -> Outcome {
    Outcome {
        volume_id: "volume-1".to_owned(),
        claim: Some(ClaimRef {
            namespace: "shop".to_owned(),
            name: "found".to_owned(),
        }),
        pods: vec![pod("db-0")],
        reason,
        message: "no path for 30 s".to_owned(),
    }
}

/// A pod as kubelet names it.
pub(crate) fn pod(name: &str) -> PodRef {
    PodRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: Some(format!("uid-of-{name}")),
    }
}

/// What happened, to a pod alone, of a volume whose claim nobody can find.
pub(crate) fn of_pod(name: &str, reason: Reason) -> Outcome {
    Outcome {
        volume_id: name.to_owned(),
        claim: None,
        pods: vec![pod(name)],
        ..outcome(reason)
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

fn lock(double: &Mutex<Double>) -> MutexGuard<'_, Double> {
    double.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(
    server: &Arc<Mutex<Double>>,
    tell: &mpsc::UnboundedSender<Asked>,
) -> Result<Client, ApiError> {
    if lock(server).behaviour == Behaviour::Gone {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(kube::config::InClusterError::ReadCertificateBundle(error).into());
    }
    let (server, tell) = (Arc::clone(server), tell.clone());
    let service = service_fn(move |request: Request<Body>| {
        let (tell, server) = (tell.clone(), Arc::clone(&server));
        async move { Ok::<_, Infallible>(answer(request, tell, &server).await) }
    });
    Ok(Client::new(service, "default"))
}

async fn answer(
    request: Request<Body>,
    tell: mpsc::UnboundedSender<Asked>,
    server: &Mutex<Double>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let asked = Asked {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let (path, name) = (asked.path.clone(), asked.body["metadata"]["name"].clone());
    let is_look = asked.is_look();
    // The test may have ended.
    let _told = tell.send(asked);
    let behaviour = lock(server).behaviour;
    match behaviour {
        Behaviour::Silent | Behaviour::Gone => pending().await,
        Behaviour::SilentForLooks if is_look => pending().await,
        Behaviour::Refuses(code) => refuse(code),
        Behaviour::ForbidsLooks if is_look => refuse(403),
        Behaviour::Forgets if head.method == Method::PATCH => refuse(404),
        Behaviour::Ails if path.contains("/sick/") => refuse(500),
        _ => {
            let stored = store(server, &head.method, &path, name.as_str());
            if let Behaviour::Slow(seconds) = behaviour {
                sleep(Duration::from_secs(seconds)).await;
            }
            stored
        }
    }
}

/// What the cluster holds: the events that were made, and three PersistentVolumes.
fn store(
    server: &Mutex<Double>,
    method: &Method,
    path: &str,
    name: Option<&str>,
) -> Response<Full<Bytes>> {
    if let Some((_, below)) = path.split_once("/persistentvolumes") {
        return match below.trim_start_matches('/') {
            "" => respond(
                200,
                &json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeList", "metadata": {},
                    "items": [
                        json!({ "metadata": { "name": "files" }, "spec": { "nfs": { "server": "a" } } }),
                        volume("other.csi", "stolen"),
                        volume("test.csi", "found"),
                    ],
                }),
            ),
            "pv-1" => respond(200, &volume("test.csi", "found")),
            "stolen" => respond(200, &volume("other.csi", "stolen")),
            _ => refuse(404),
        };
    }
    let name = match *method {
        Method::POST => name.expect("an event with a name of its own"),
        _ => path.rsplit('/').next().expect("a part"),
    };
    if *method == Method::POST && !lock(server).events.insert(name.to_owned()) {
        return refuse(409);
    }
    let metadata = json!({ "name": name, "namespace": "shop" });
    let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": metadata });
    let mut event = event;
    event["involvedObject"] = json!({});
    respond(200, &event)
}

fn volume(driver: &str, claim: &str) -> Value {
    json!({
        "metadata": { "name": claim },
        "spec": {
            "csi": { "driver": driver, "volumeHandle": "volume-1" },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
                "name": claim, "uid": format!("uid-of-{claim}"), "resourceVersion": "12",
            },
        },
    })
}

fn refuse(code: u16) -> Response<Full<Bytes>> {
    let reason = if code == 409 {
        "AlreadyExists"
    } else {
        "Refused"
    };
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
