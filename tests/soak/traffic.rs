//! The callers. Each calls again and again, as any user, with any kind of call, over HTTP/1.1, HTTP/2 or the AWS SDK.
//! Some hang up.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::journal::{self, Journal, Outcome};
use crate::line::Line;
use crate::said::{self, Kind};
use crate::sdk;
use crate::users::{PROJECTS, USERS};
use crate::world::World;

/// Concurrent callers.
const ON_H1: usize = 24;
const H2_CONNECTIONS: usize = 6;
const ON_EACH_H2: usize = 4;
const WITH_SDK: usize = 4;

/// Longest pause of a caller between calls, milliseconds.
const PAUSE: u64 = 300;

/// Longest wait for an answer. The gateway waits for STS for ten seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hang-ups in a thousand calls.
const HANG_UPS: u64 = 80;
/// Longest time until a hang-up, milliseconds.
const HUNG_UP_WITHIN: u64 = 60;

/// All callers, until [`Traffic::end`] stops them.
pub(crate) struct Traffic {
    callers: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Traffic {
    pub(crate) fn start(world: &Arc<World>, journal: &Arc<Journal>, dice: &mut Dice) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut callers = JoinSet::new();
        let mut caller = || Caller {
            world: Arc::clone(world),
            journal: Arc::clone(journal),
            dice: dice.split(),
            stopped: stopped.clone(),
        };
        for _ in 0..ON_H1 {
            callers.spawn(caller().calls_on(Line::h1(world)));
        }
        for _ in 0..H2_CONNECTIONS {
            let shared = Line::h2(world);
            for _ in 0..ON_EACH_H2 {
                callers.spawn(caller().calls_on(Line::H2(Arc::clone(&shared))));
            }
        }
        for _ in 0..WITH_SDK {
            callers.spawn(caller().calls_with_sdk());
        }
        Self { callers, stop }
    }

    /// Stops the callers. Each finishes its present call.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("callers do not panic");
        }
    }
}

struct Caller {
    world: Arc<World>,
    journal: Arc<Journal>,
    dice: Dice,
    stopped: watch::Receiver<bool>,
}

impl Caller {
    async fn calls_on(mut self, mut line: Line) {
        while self.goes_on().await {
            let (user, project) = self.pick_user();
            let kind = Kind::ALL[self.dice.index(Kind::ALL.len())];
            let number = self.journal.begin(user, project, line.name());
            let hang_up =
                self.dice.chance(HANG_UPS).then(|| Duration::from_millis(self.dice.below(HUNG_UP_WITHIN)));
            let outcome = tokio::select! {
                outcome = call(&self.world, &mut line, kind, number, user, project) => outcome,
                () = pause(hang_up) => {
                    line.hang_up();
                    Outcome::HungUp
                }
                () = tokio::time::sleep(PATIENCE) => {
                    line.hang_up();
                    Outcome::Wrong("no answer for half a minute".into())
                }
            };
            self.journal.end(number, outcome);
        }
    }

    async fn calls_with_sdk(mut self) {
        // The users of one application share its connections.
        let connections = self.world.bed.sdk_connections();
        while self.goes_on().await {
            let user = self.dice.index(USERS);
            let client = sdk::client(&self.world, connections.clone(), &self.world.token(user));
            let number = self.journal.begin(user, None, "AWS SDK");
            let prompt = journal::prompt(number);
            let outcome = if self.dice.chance(500) {
                sdk::converse(&client, &prompt).await
            } else {
                sdk::converse_stream(&client, &prompt).await
            };
            self.journal.end(number, outcome);
        }
    }

    /// Pauses. Returns whether the caller goes on, or has to stop.
    async fn goes_on(&mut self) -> bool {
        let between = Duration::from_millis(self.dice.below(PAUSE));
        tokio::select! {
            _ = self.stopped.wait_for(|stopped| *stopped) => false,
            () = tokio::time::sleep(between) => true,
        }
    }

    fn pick_user(&mut self) -> (usize, Option<&'static str>) {
        let user = self.dice.index(USERS);
        let projects = if self.world.users[user].has_projects() { &PROJECTS[..] } else { &[None] };
        (user, projects[self.dice.index(projects.len())])
    }
}

async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

async fn call(
    world: &World,
    line: &mut Line,
    kind: Kind,
    number: usize,
    user: usize,
    project: Option<&str>,
) -> Outcome {
    let prompt = journal::prompt(number);
    let request = kind.request(&world.address.to_string(), &world.token(user), project, &prompt);
    let answer = match line.send(world, request).await {
        Ok(answer) => answer,
        // A reset of an HTTP/2 stream overtakes the bytes in its queue, even the head.
        Err(_reset) if line.is_h2() => return Outcome::Broken,
        Err(error) => return Outcome::Wrong(format!("no answer at all: {error:?}").into()),
    };
    let (head, body) = answer.into_parts();
    match read(body).await {
        Some(body) if head.status == 200 => kind.outcome(&body, &prompt),
        Some(body) => said::error(head.status.as_u16(), &head.headers, &body),
        None if head.status == 200 => Outcome::Broken,
        None => Outcome::Wrong(format!("an answer with status {} broke off", head.status).into()),
    }
}

/// The whole body; `None` if it broke off.
async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.ok()?.into_data().ok()?);
    }
    Some(bytes)
}
