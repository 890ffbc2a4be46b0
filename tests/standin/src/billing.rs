//! Data Exports and Cost Explorer, as far as `doctor --billing` asks them: AWS's JSON protocol 1.1 on one socket, by the
//! service models `bcm-data-exports` and `ce`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::clock;
use crate::credentials::Store;
use crate::faults::Faults;
use crate::server::{self, Body, Reset, Server};
use crate::signature::{self, Expect};

const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Exports on one page, few so that a client has to turn pages.
const PAGE: usize = 2;

/// A fault of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillingFault {
    /// 400 `AccessDeniedException`.
    Deny,
    /// 200 with a page of HTML.
    Garbage,
    /// 400 `ThrottlingException`.
    Throttle,
    Reset,
}

/// Both services.
#[derive(Debug)]
pub struct Billing {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: Arc<Store>,
    faults: Faults<BillingFault>,
    exports: Mutex<Vec<Value>>,
    tags: Mutex<BTreeMap<String, bool>>,
    calls: Mutex<Vec<String>>,
}

impl Billing {
    /// An account without exports and tags. Must be called within a tokio runtime.
    pub fn start(store: Arc<Store>) -> Self {
        let state = Arc::new(State {
            store,
            faults: Faults::new(),
            exports: Mutex::default(),
            tags: Mutex::default(),
            calls: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let server = Server::start(None, move |request| {
            let state = Arc::clone(&serving);
            async move { state.answer(request).await }
        });
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn faults(&self) -> &Faults<BillingFault> {
        &self.state.faults
    }

    /// Adds an export: the answer of `GetExport`, whose `Export` has `ExportArn` and `Name`.
    pub fn add_export(&self, export: Value) {
        lock(&self.state.exports).push(export);
    }

    /// Removes all exports.
    pub fn clear_exports(&self) {
        lock(&self.state.exports).clear();
    }

    /// Lists a cost allocation tag, for example `iamPrincipal/team`.
    pub fn set_tag(&self, key: &str, active: bool) {
        lock(&self.state.tags).insert(key.to_owned(), active);
    }

    /// Whether a tag is listed, and active.
    pub fn tag(&self, key: &str) -> Option<bool> {
        lock(&self.state.tags).get(key).copied()
    }

    /// The operations that were called with a valid signature, in order.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.state.calls).clone()
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (head, body) = request.into_parts();
        let body = server::read(body, MAX_BODY_BYTES).await.map_err(|_| Reset)?;
        let target =
            head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (service, operation) = target.split_once('.').unwrap_or_default();
        let signing_name = match service {
            "AWSBillingAndCostManagementDataExports" => "bcm-data-exports",
            "AWSInsightsIndexService" => "ce",
            _ => return Ok(refused("UnknownOperationException", "")),
        };
        // Cost Explorer and Data Exports have one region in the partition `aws`.
        let expect = Expect { service: signing_name, region: "us-east-1", now: clock::now() };
        if let Err(fault) = signature::verify_request(&head, &body, &expect, |id| self.store.credential(id)) {
            return Ok(refused("InvalidSignatureException", &format!("{fault:?}")));
        }
        let is_json_1_1 = head.headers.get("content-type").is_some_and(|v| v == "application/x-amz-json-1.1");
        if head.method != Method::POST || head.uri.path() != "/" || !is_json_1_1 {
            return Ok(refused("UnknownOperationException", ""));
        }
        let Ok(input) = serde_json::from_slice::<Value>(&body) else {
            return Ok(refused("SerializationException", ""));
        };
        lock(&self.calls).push(operation.to_owned());
        match self.faults.take() {
            None => Ok(self.operation(operation, &input)),
            Some(BillingFault::Deny) => Ok(refused(
                "AccessDeniedException",
                // The wording of AWS's error for any action (IAM user guide, "Troubleshoot access denied error
                // messages").
                &format!(
                    "User: arn:aws:iam::111122223333:user/bedrock-gateway is not authorized to perform: \
                     {signing_name}:{operation} because no identity-based policy allows the \
                     {signing_name}:{operation} action"
                ),
            )),
            Some(BillingFault::Garbage) => Ok(answered(StatusCode::OK, "<html>a proxy's page</html>")),
            Some(BillingFault::Throttle) => Ok(refused("ThrottlingException", "Rate exceeded")),
            Some(BillingFault::Reset) => Err(Reset),
        }
    }

    fn operation(&self, operation: &str, input: &Value) -> Response<Body> {
        let output = match operation {
            "ListExports" => self.list_exports(input),
            "GetExport" => {
                let exports = lock(&self.exports);
                let found = exports.iter().find(|e| e["Export"]["ExportArn"] == input["ExportArn"]).cloned();
                match found {
                    Some(export) => export,
                    None => return refused("ResourceNotFoundException", ""),
                }
            }
            "ListCostAllocationTags" => self.list_tags(input),
            "UpdateCostAllocationTagsStatus" => match self.update_tags(input) {
                Some(output) => output,
                None => return refused("ValidationException", "1 to 20 keys"),
            },
            _ => return refused("UnknownOperationException", ""),
        };
        answered(StatusCode::OK, output.to_string())
    }

    fn list_exports(&self, input: &Value) -> Value {
        let begin = input["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0_usize);
        let exports = lock(&self.exports);
        let page: Vec<_> = exports
            .iter()
            .skip(begin)
            .take(PAGE)
            .map(|export| {
                json!({
                    "ExportArn": export["Export"]["ExportArn"],
                    "ExportName": export["Export"]["Name"],
                    "ExportStatus": export["ExportStatus"],
                })
            })
            .collect();
        let next = begin + page.len();
        let token = (next < exports.len()).then(|| next.to_string());
        json!({ "Exports": page, "NextToken": token })
    }

    fn list_tags(&self, input: &Value) -> Value {
        let wanted: Option<Vec<&str>> =
            input["TagKeys"].as_array().map(|keys| keys.iter().filter_map(Value::as_str).collect());
        let tags = lock(&self.tags);
        let listed: Vec<_> = tags
            .iter()
            .filter(|(key, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(&key.as_str())))
            .map(|(key, active)| {
                let status = if *active { "Active" } else { "Inactive" };
                json!({ "TagKey": key, "Type": "UserDefined", "Status": status })
            })
            .collect();
        json!({ "CostAllocationTags": listed })
    }

    /// `None`: the list has no key, or too many.
    fn update_tags(&self, input: &Value) -> Option<Value> {
        let list = input["CostAllocationTagsStatus"].as_array().cloned().unwrap_or_default();
        if !(1..=20).contains(&list.len()) {
            return None;
        }
        let mut errors = Vec::new();
        let mut tags = lock(&self.tags);
        for entry in list {
            let key = entry["TagKey"].as_str().unwrap_or_default();
            match tags.get_mut(key) {
                Some(active) => *active = entry["Status"] == "Active",
                // Made up: AWS documents the members of an error, not its codes.
                None => errors.push(json!({ "TagKey": key, "Code": "TagKeysNotFoundException",
                    "Message": "Tag keys not found" })),
            }
        }
        Some(json!({ "Errors": errors }))
    }
}

fn refused(code: &str, message: &str) -> Response<Body> {
    answered(StatusCode::BAD_REQUEST, json!({ "__type": code, "message": message }).to_string())
}

fn answered(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(server::full(body));
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
