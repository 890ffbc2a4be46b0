//! A gateway and a stand-in for AWS, for the lifetime of the process.

use std::sync::LazyLock;
use std::time::Duration;

use bedrock_bed::{ANY_PORT, Addresses, Bed, Setup, memory_log, until};
use bedrock_gateway::gateway::GatewayHandle;
use bedrock_standin::idp::Claims;
use bytes::Bytes;
use http::{Request, response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct World {
    /// Alice's token.
    pub(crate) token: String,
    gateway: GatewayHandle,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
    pub(crate) bed: Bed,
}

impl World {
    /// Starts both. `bedrock` is used instead of the stand-in's Bedrock, if given.
    pub(crate) fn start(bedrock: Option<&str>) -> Self {
        let _within = RUNTIME.enter();
        let bed = Bed::start();
        let file = bed.write(&Setup {
            addresses: Addresses { http: Some(ANY_PORT), ..Addresses::default() },
            mapping: "[issuer.session]\nname = \"claims.sub\"\n",
            bedrock,
            ..Setup::default()
        });
        let gateway = RUNTIME.block_on(bed.serve(&file, &memory_log()));
        let token = bed.standin.idp.mint(Claims::of("alice").expires_in(Duration::from_hours(24)));
        let world = Self { token, gateway, connection: Mutex::default(), bed };
        let probe = || {
            let request = Request::get("/foundation-models").header("host", "gateway");
            request.header("x-api-key", &world.token).body(Full::default()).unwrap()
        };
        RUNTIME.block_on(until("the gateway", async || {
            world.send(probe()).await.is_ok_and(|(head, _)| head.status == 200)
        }));
        world
    }

    /// Sends over HTTP/1.1 and reads the answer to its end. It uses the connection of the previous request if that
    /// is still open.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(response::Parts, Bytes), Failure> {
        let mut connection = self.connection.lock().await;
        let open = match connection.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let mut sender = if let Some(open) = open {
            open
        } else {
            let stream = TcpStream::connect(self.gateway.addresses().http.unwrap()).await?;
            let (sender, driven) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driven);
            sender
        };
        let (head, body) = sender.send_request(request).await?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, 1 << 20).collect().await?.to_bytes();
        *connection = Some(sender);
        Ok((head, body))
    }
}
