//! The services of one socket, told apart by the first part of the path: `/csi.v1.Node/NodeGetInfo`.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::identity::Identity;
use super::node::Node;
use super::proto::identity_server::IdentityServer;
use super::proto::node_server::NodeServer;

/// Identity and Node.
#[derive(Debug, Clone)]
pub struct NodeServices {
    identity: IdentityServer<Identity>,
    node: NodeServer<Node>,
}

impl NodeServices {
    /// Of these two.
    #[must_use]
    pub fn new(identity: Identity, node: Node) -> NodeServices {
        NodeServices {
            identity: IdentityServer::new(identity),
            node: NodeServer::new(node),
        }
    }
}

impl Service<http::Request<Body>> for NodeServices {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither of the two ever makes anybody wait here.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match service.map(|(service, _)| service) {
            Some(name) if name == <IdentityServer<Identity> as NamedService>::NAME => {
                self.identity.call(request)
            }
            Some(name) if name == <NodeServer<Node> as NamedService>::NAME => {
                self.node.call(request)
            }
            _ => {
                let status = Status::unimplemented(format!("the node has no {path}"));
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}
