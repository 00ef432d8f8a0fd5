//! The services of one socket, told apart by the first part of the path: `/csi.v1.Node/NodeGetInfo`.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::controller::Controller;
use super::identity::Identity;
use super::node::Node;
use super::proto::controller_server::ControllerServer;
use super::proto::identity_server::IdentityServer;
use super::proto::node_server::NodeServer;

/// Identity, and the service that the plugin is there for.
#[derive(Debug, Clone)]
pub struct Services<S> {
    identity: IdentityServer<Identity>,
    own: S,
}

/// Identity and Node.
pub type NodeServices = Services<NodeServer<Node>>;

/// Identity and Controller.
pub type ControllerServices = Services<ControllerServer<Controller>>;

impl NodeServices {
    /// Of these two.
    #[must_use]
    pub fn new(identity: Identity, node: Node) -> NodeServices {
        Services {
            identity: IdentityServer::new(identity),
            own: NodeServer::new(node),
        }
    }
}

impl ControllerServices {
    /// Of these two.
    #[must_use]
    pub fn new(identity: Identity, controller: Controller) -> ControllerServices {
        Services {
            identity: IdentityServer::new(identity),
            own: ControllerServer::new(controller),
        }
    }
}

impl<S> Service<http::Request<Body>> for Services<S>
where
    S: NamedService,
    S: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future = BoxFuture<http::Response<Body>, Infallible>,
        >,
{
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
            Some(name) if name == S::NAME => self.own.call(request),
            _ => {
                let status = Status::unimplemented(format!("this plugin has no {path}"));
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}
