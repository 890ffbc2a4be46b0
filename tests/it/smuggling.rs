//! Request smuggling: bytes that two parsers could read differently. The gateway reads them in one way or refuses them.
//! It never finds a request in the body, head or answer of another request.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{CONVERSE, HELLO, Setup, World};

mod h2;

/// Sends these bytes over plain HTTP/1.1, and returns the statuses of all answers until the connection ends.
async fn statuses(world: &World, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
    // The gateway may close the connection before it has received everything.
    let _closed = stream.write_all(bytes).await.is_err();
    let mut answers = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answers)).await;
    assert!(read.is_ok(), "the gateway neither answered nor closed: {}", bytes.escape_ascii());
    let text = String::from_utf8_lossy(&answers);
    text.match_indices("HTTP/1.1 ").map(|(at, _)| text[at + 9..at + 12].parse().unwrap()).collect()
}

/// The users that the stand-in has billed since `before`.
fn billed(world: &World, before: usize) -> Vec<String> {
    let name = |principal: &str| principal.rsplit('/').next().unwrap().split('@').next().unwrap().to_owned();
    world.standin.bill.calls()[before..].iter().map(|call| name(&call.principal)).collect()
}

struct Two {
    world: World,
    alice: String,
    bob: String,
}

impl Two {
    async fn start() -> Self {
        let world = World::start().await;
        let (alice, bob) = (world.token("alice"), world.token("bob"));
        Self { world, alice, bob }
    }

    /// A request of Alice. `ALICE` and `BOB` are replaced by their tokens, `LENGTH` by the length of [`HELLO`].
    fn text(&self, head: &str, body: &str) -> Vec<u8> {
        let head = head.replace("LENGTH", &HELLO.len().to_string());
        let text = format!("{head}\r\n{body}");
        text.replace("ALICE", &self.alice).replace("BOB", &self.bob).into_bytes()
    }

    /// Sends the bytes, and asserts the statuses of the answers and the users that are billed.
    async fn expect(&self, what: &str, bytes: &[u8], answers: &[u16], payers: &[&str]) {
        let before = self.world.standin.bill.call_count();
        assert_eq!(statuses(&self.world, bytes).await, answers, "{what}");
        assert_eq!(billed(&self.world, before), payers, "{what}");
    }
}

fn head(more: &str) -> String {
    format!("POST {CONVERSE} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ALICE\r\n{more}")
}

fn bobs() -> String {
    format!(
        "POST {CONVERSE} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer BOB\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{HELLO}",
        HELLO.len()
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

const LENGTH: &str = "content-length: LENGTH\r\n";
const CLOSE: &str = "connection: close\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn contradicting_lengths_and_encodings_are_refused() {
    let two = Two::start().await;
    let smuggled = chunked(HELLO) + &bobs();
    let whole = format!("content-length: {}\r\n", smuggled.len());
    // RFC 9112, section 6.1: the encoding takes precedence, and the connection closes after the answer.
    for both in [format!("{whole}{CHUNKED}"), format!("{CHUNKED}{whole}")] {
        two.expect("both", &two.text(&head(&both), &smuggled), &[200], &["alice"]).await;
    }
    for (what, lines) in [
        ("two lengths", format!("{LENGTH}content-length: 7\r\n")),
        ("a list of lengths", "content-length: LENGTH, LENGTH\r\n".to_owned()),
        ("a signed length", "content-length: +LENGTH\r\n".to_owned()),
        ("a negative length", "content-length: -1\r\n".to_owned()),
        ("a hexadecimal length", "content-length: 0x10\r\n".to_owned()),
        ("a length with a blank", "content-length: 1 0\r\n".to_owned()),
        ("an empty length", "content-length:\r\n".to_owned()),
        ("a length beyond all numbers", "content-length: 18446744073709551617\r\n".to_owned()),
        ("an unknown encoding", "transfer-encoding: xchunked\r\n".to_owned()),
        ("chunked, and then more", "transfer-encoding: chunked, identity\r\n".to_owned()),
        ("identity", "transfer-encoding: identity\r\n".to_owned()),
        ("an encoding within the chunks", "transfer-encoding: gzip, chunked\r\n".to_owned()),
        ("two encodings in two lines", format!("transfer-encoding: gzip\r\n{CHUNKED}")),
        ("chunked twice", format!("{CHUNKED}{CHUNKED}")),
    ] {
        let text = two.text(&head(&(lines + CLOSE)), &(chunked(HELLO) + &bobs()));
        two.expect(what, &text, &[400], &[]).await;
    }
    let old = head(CHUNKED).replace("HTTP/1.1", "HTTP/1.0");
    two.expect("chunks in HTTP/1.0", &two.text(&old, &smuggled), &[400], &[]).await;
    let same = head(&format!("{LENGTH}{LENGTH}{CLOSE}"));
    two.expect("one length, given twice", &two.text(&same, HELLO), &[200], &["alice"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_are_refused() {
    let two = Two::start().await;
    let size = format!("{:x}", HELLO.len());
    let extended = format!("{size};name=value\r\n{HELLO}\r\n0\r\n\r\n");
    let closing = head(&format!("{CHUNKED}{CLOSE}"));
    two.expect("an extension", &two.text(&closing, &extended), &[200], &["alice"]).await;
    let trailer = format!("{size}\r\n{HELLO}\r\n0\r\nauthorization: Bearer BOB\r\nx-api-key: BOB\r\n\r\n");
    two.expect("a trailer", &two.text(&closing, &trailer), &[200], &["alice"]).await;
    for (what, size) in [
        ("a prefix", format!("0x{size}")),
        ("a sign", format!("-{size}")),
        ("a blank within", format!("{} {size}", 1)),
        ("a size beyond all numbers", format!("1{}", "0".repeat(16))),
        ("no size", String::new()),
        ("no number", "chunk".to_owned()),
        ("a bare line feed in the extension", format!("{size};a\nb")),
    ] {
        let body = format!("{size}\r\n{HELLO}\r\n0\r\n\r\n{}", bobs());
        let text = two.text(&head(CHUNKED), &body);
        let before = two.world.standin.bill.call_count();
        let answers = statuses(&two.world, &text).await;
        assert!(answers == [400] || answers.is_empty(), "{what}: {answers:?}");
        assert!(billed(&two.world, before).is_empty(), "{what}");
    }
    // The data of this chunk does not end with a line break.
    let body = format!("{size}\r\n{HELLO}XX0\r\n\r\n{}", bobs());
    let before = two.world.standin.bill.call_count();
    let answers = statuses(&two.world, &two.text(&head(CHUNKED), &body)).await;
    assert!(answers == [400] || answers.is_empty(), "{answers:?}");
    assert!(billed(&two.world, before).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_header_lines_are_refused() {
    let two = Two::start().await;
    let line = |text: &str| head(&format!("{text}{LENGTH}{CLOSE}"));
    for (what, text) in [
        ("a folded line", line("x-one: a\r\n b\r\n")),
        ("a folded token", line("x-one:\r\n Bearer BOB\r\n")),
        ("a blank before the colon", line("x-api-key : BOB\r\n")),
        ("a blank in a name", line("x api-key: BOB\r\n")),
        ("a line without a name", line(": BOB\r\n")),
        ("a line without a colon", line("x-api-key\r\n")),
        (
            "a blank before the first line",
            head(&format!(" x: y\r\n{LENGTH}{CLOSE}")).replacen("\r\nhost", "\r\n x: y\r\nhost", 1),
        ),
        ("a bare carriage return", line("x-one: a\rx-api-key: BOB\r\n")),
        ("a zero byte", line("x-one: a\0b\r\n")),
        ("a control byte", line("x-one: a\u{1}b\r\n")),
        ("no Host", line("").replace("host: gateway\r\n", "")),
        ("two Hosts", line("host: gateway\r\n")),
        (
            "another Host than the target's",
            line("").replacen(CONVERSE, &format!("http://elsewhere{CONVERSE}"), 1),
        ),
        (
            "a target with a line break, encoded",
            line("").replacen("sonnet", "sonnet%0d%0ax-api-key:%20BOB", 1),
        ),
        ("a target with a blank", line("").replacen(CONVERSE, "/model/a b/converse", 1)),
        ("a word after the version", line("").replacen("HTTP/1.1", "HTTP/1.1 x", 1)),
        ("another version", line("").replacen("HTTP/1.1", "HTTP/1.2", 1)),
        ("a method with a colon", line("").replacen("POST", "PO:ST", 1)),
    ] {
        two.expect(what, &two.text(&text, HELLO), &[400], &[]).await;
    }
    // A bare line feed ends a line, which RFC 9112, section 2.2, allows. It never begins another request.
    let bare = line("").replace("\r\n", "\n");
    let text = two.text(&bare, "").strip_suffix(b"\r\n").unwrap().to_vec();
    let text = [&text[..], b"\n", HELLO.as_bytes()].concat();
    two.expect("bare line feeds", &text, &[200], &["alice"]).await;
    for (what, text) in [
        (
            "names with underscores",
            line("x_api_key: BOB\r\nContent_Length: 3\r\nTransfer_Encoding: chunked\r\n"),
        ),
        (
            "a token that is for one hop only",
            head(&format!("{LENGTH}connection: close, authorization, x-api-key\r\n")),
        ),
        ("an upgrade", line("upgrade: h2c\r\nhttp2-settings: AAAA\r\n")),
    ] {
        two.expect(what, &two.text(&text, HELLO), &[200], &["alice"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_connection_are_billed_to_their_own_callers() {
    let two = Two::start().await;
    let alice = two.text(&head(LENGTH), HELLO);
    let bob = two.text(&bobs(), "").strip_suffix(b"\r\n").unwrap().to_vec();
    let both = [&alice[..], &alice, &bob].concat();
    two.expect("pipelined", &both, &[200, 200, 200], &["alice", "alice", "bob"]).await;
    let last = two.text(&head(&format!("{LENGTH}{CLOSE}")), HELLO);
    // A body that looks like a request is only a body.
    let inner = two.text(&bobs(), "");
    let lines = format!("content-length: {}\r\n", inner.len());
    let probe = two.text(&format!("GET / HTTP/1.1\r\nhost: gateway\r\n{lines}"), &bobs()[..]);
    let answers = {
        let before = two.world.standin.bill.call_count();
        let answers = statuses(&two.world, &[&probe[..], b"\r\n", &last].concat()).await;
        assert!(billed(&two.world, before).iter().all(|payer| payer == "alice"));
        answers
    };
    assert_eq!(answers.first(), Some(&200));
    let stranger = head(&lines).replace("authorization: Bearer ALICE\r\n", "");
    let before = two.world.standin.bill.call_count();
    let text = [two.text(&stranger, &(bobs() + "\r\n")), last].concat();
    let answers = statuses(&two.world, &text).await;
    assert_eq!(answers.first(), Some(&401));
    assert!(billed(&two.world, before).iter().all(|payer| payer == "alice"));
}

/// A server that answers each request with `answer`, which may contain more than one answer.
async fn poisoned(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut received = Vec::new();
                loop {
                    let mut part = [0; 4096];
                    match stream.read(&mut part).await {
                        Ok(read) if read > 0 => received.extend_from_slice(&part[..read]),
                        _ => return,
                    }
                    // The body is the end of a request.
                    if received.ends_with(HELLO.as_bytes()) {
                        received.clear();
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_bytes_from_bedrock_never_become_another_answer() {
    for (answer, served) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nrightHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong",
            true,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nrightwrong", true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong",
            true,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 10\r\n\r\nrightwrong", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nright", true),
        ("HTTP/1.1 200 OK\r\nx-one: a\rb\r\ncontent-length: 5\r\n\r\nwrong", false),
    ] {
        let bedrock = poisoned(answer).await;
        let world = World::with(&Setup { bedrock: Some(&bedrock), ..Setup::default() }).await;
        let token = world.token("alice");
        for _ in 0..20 {
            let mut stream = TcpStream::connect(world.gateway.addresses().http.unwrap()).await.unwrap();
            let text = head(&format!("{LENGTH}{CLOSE}")).replace("ALICE", &token);
            let text = text.replace("LENGTH", &HELLO.len().to_string());
            stream.write_all(format!("{text}\r\n{HELLO}").as_bytes()).await.unwrap();
            let mut found = String::new();
            stream.read_to_string(&mut found).await.unwrap();
            assert!(!found.contains("wrong") && !found.contains("5, 5"), "{answer}: {found}");
            // The gateway may notice the extra bytes only after it has sent the request. Then the call may be billed.
            let is_typed = found.starts_with("HTTP/1.1 408") || found.starts_with("HTTP/1.1 50");
            assert!(is_typed || (served && found.contains("right")), "{answer}: {found}");
        }
    }
}
