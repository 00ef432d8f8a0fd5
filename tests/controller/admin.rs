//! The probes: kubelet asks at the first address of the pod, which is one of IPv6 in some clusters.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::api_server::ApiServer;
use crate::scene::Scene;

fn live(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let timeout = Some(Duration::from_secs(60));
    stream.set_read_timeout(timeout).expect("a time limit");
    let request = b"GET /live HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[tokio::test]
async fn any_address_is_one_of_ipv4_and_of_ipv6() {
    let any = Ipv6Addr::UNSPECIFIED;
    let free = TcpListener::bind((any, 0)).and_then(|listener| listener.local_addr());
    let port = free.expect("a port").port();
    let scene = Scene::with(ApiServer::new(), Some((any, port).into())).await;
    for address in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ] {
        let answer = spawn_blocking(move || live(address)).await;
        let answer = answer.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{address}: {answer}");
    }
    scene.stop().await;
}
