//! STS's answers as XML.

use super::{GATEWAY_ACCOUNT, StsError, percent_of_token};
use crate::clock;
use crate::credentials::{self, IssuedSession};

pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn assumed_role(session: &IssuedSession, request_id: &str) -> String {
    let source_identity = match &session.source_identity {
        Some(name) => format!("    <SourceIdentity>{}</SourceIdentity>\n", escape(name)),
        None => String::new(),
    };
    let size = session.session_token.len();
    let utilization = percent_of_token(size);
    format!(
        "<AssumeRoleResponse xmlns=\"{NAMESPACE}\">
  <AssumeRoleResult>
{source_identity}    <AssumedRoleUser>
      <AssumedRoleId>{role_id}:{name}</AssumedRoleId>
      <Arn>{arn}</Arn>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{access_key_id}</AccessKeyId>
      <SecretAccessKey>{secret}</SecretAccessKey>
      <SessionToken>{session_token}</SessionToken>
      <Expiration>{expiration}</Expiration>
    </Credentials>
    <PackedPolicySize>{utilization}</PackedPolicySize>
    <SessionTokenUtilization>{utilization}</SessionTokenUtilization>
    <SessionTokenSize>{size}</SessionTokenSize>
  </AssumeRoleResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</AssumeRoleResponse>
",
        role_id = credentials::access_key_id("AROA"),
        name = escape(&session.session_name),
        arn = escape(&session.principal),
        access_key_id = session.access_key_id,
        secret = session.secret,
        session_token = session.session_token,
        expiration = clock::iso8601(session.expires),
    )
}

pub(super) fn caller_identity(arn: &str, request_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>AIDAGATEWAYEXAMPLE</UserId>
    <Account>{GATEWAY_ACCOUNT}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>{request_id}</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"
    )
}

pub(super) fn error(error: &StsError, request_id: &str) -> String {
    let blame = if error.status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">
  <Error>
    <Type>{blame}</Type>
    <Code>{code}</Code>
    <Message>{message}</Message>
  </Error>
  <RequestId>{request_id}</RequestId>
</ErrorResponse>
",
        code = error.code,
        message = escape(&error.message),
    )
}

/// The beginning of an answer. The rest is missing.
pub(super) fn half_an_answer() -> String {
    format!("<AssumeRoleResponse xmlns=\"{NAMESPACE}\"><AssumeRoleResult><Cred")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
