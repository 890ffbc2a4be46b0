//! A Bedrock service with a session to call it, and the reading of its answers.

use super::*;

pub(super) struct World {
    pub(super) bedrock: Bedrock,
    pub(super) bill: Arc<Bill>,
    pub(super) store: Arc<Store>,
    pub(super) session: IssuedSession,
}

impl World {
    pub(super) fn start() -> Self {
        Self::start_as(Service::Runtime)
    }

    pub(super) fn start_as(service: Service) -> Self {
        let (store, bill) = (Store::new(), Bill::new());
        let options = Options { tls: None, regions: vec!["us-east-1".to_owned(), "us-west-2".to_owned()] };
        let bedrock = Bedrock::start_as(service, Arc::clone(&store), Arc::clone(&bill), options);
        let session = session("ASIAALICE", Duration::from_hours(1));
        store.issue(session.clone());
        Self { bedrock, bill, store, session }
    }

    pub(super) fn signed(&self, path: &str, body: &str) -> Request<Full<Bytes>> {
        self.signed_by(&self.session, "us-east-1", path, body)
    }

    pub(super) fn signed_by(
        &self,
        session: &IssuedSession,
        region: &str,
        path: &str,
        body: &str,
    ) -> Request<Full<Bytes>> {
        let head = Request::post(path).header("content-type", "application/json");
        self.sign(session, region, head, body)
    }

    /// Adds the headers that a signature needs, and the signature.
    pub(super) fn sign(
        &self,
        session: &IssuedSession,
        region: &str,
        head: http::request::Builder,
        body: &str,
    ) -> Request<Full<Bytes>> {
        let mut request = head
            .header("host", self.bedrock.server().authority())
            .header("x-amz-date", clock::amz_date(clock::now()))
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        if !session.session_token.is_empty() {
            request.headers_mut().insert("x-amz-security-token", session.session_token.parse().unwrap());
        }
        let service = self.bedrock.service().signing_name();
        let (id, secret) = (&session.access_key_id, &session.secret);
        let authorization = sign(&request, body.as_bytes(), id, secret, region, service);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        request
    }

    pub(super) async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.bedrock.server().addr()).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(super) async fn open(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.connect().await.send_request(request).await
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::read(self.open(request).await.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(self.signed(path, body)).await
    }
}

pub(super) fn session(access_key_id: &str, lasts: Duration) -> IssuedSession {
    IssuedSession {
        access_key_id: access_key_id.to_owned(),
        secret: "secret".to_owned(),
        session_token: format!("token of {access_key_id}"),
        role_arn: "arn:aws:iam::123456789012:role/BedrockUser".to_owned(),
        principal: ALICE.to_owned(),
        account: "123456789012".to_owned(),
        session_name: "alice@acme.org".to_owned(),
        tags: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
        transitive: Vec::new(),
        source_identity: None,
        issued: clock::now(),
        expires: clock::now() + lasts,
        revoked: false,
    }
}

pub(super) fn converse(text: &str) -> String {
    json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] }).to_string()
}

pub(super) fn claude(text: &str) -> String {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the connection broke before the end.
    pub(super) broken: bool,
}

impl Answer {
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let mut body = Limited::new(body, 1024 * 1024);
        let (mut bytes, mut broken) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
                Err(_) => broken = true,
            }
        }
        Self { status: head.status.as_u16(), headers: head.headers, body: bytes.into(), broken }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, error type without its namespace, and message.
    pub(super) fn error(&self) -> (u16, String, String) {
        let kind = self.headers.get("x-amzn-errortype").map_or("", |kind| kind.to_str().unwrap());
        let (kind, namespace) = kind.split_once(':').unwrap_or_default();
        assert!(kind.is_empty() || namespace == "http://internal.amazon.com/coral/com.amazon.bedrock/");
        (self.status, kind.to_owned(), self.json()["message"].as_str().unwrap().to_owned())
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        decode(&self.body).into_iter().map(|(kind, _)| kind).collect()
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.headers[&format!("x-amzn-bedrock-{name}")].to_str().unwrap().parse().unwrap()
    }
}

pub(super) fn billed(bill: &Bill) -> Vec<(String, u64)> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    let tokens = |row: &crate::bill::Row| (row.line_item_usage_amount * 1000.0).round() as u64;
    bill.rows().iter().map(|row| (row.line_item_usage_type.clone(), tokens(row))).collect()
}
