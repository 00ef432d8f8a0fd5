//! An API server that answers nothing, is gone, and comes back.

use std::time::Duration;

use nvmeof_csi::report::outcome::Reason;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::scene::Scene;

/// How long the poster waits for one answer.
const ONE_ANSWER: Duration = Duration::from_secs(10);

pub(crate) async fn an_api_server_that_hangs_and_dies_delays_nobody_and_gets_the_count_later(
    plane: &mut ControlPlane,
) {
    let scene = Scene::new(plane, "outage").await;
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    scene.event(&scene.pod, 1).await;
    let tell = async |times: u32| {
        let began = Instant::now();
        for _ in 0..times {
            scene.reporter.tell(scene.outcome(Reason::PathLost));
            // The poster goes on as far as it can.
            yield_now().await;
        }
        assert!(began.elapsed() < ONE_ANSWER, "{:?}", began.elapsed());
    };
    plane.hang();
    tell(3).await;
    plane.kill();
    tell(3).await;
    plane.start().await;
    tell(1).await;
    for uid in [&scene.claim, &scene.pod] {
        let event = scene.event(uid, 8).await;
        assert_eq!(event.reason.as_deref(), Some("PathLost"));
    }
    assert_eq!(scene.reporter.dropped(), 0);
}
