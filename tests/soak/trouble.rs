//! The faults. The seed decides which occur, when, and how: one to three causes at a time, with quiet times between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_standin::bedrock::Fault;
use bedrock_standin::idp::{Algorithm, Idp, KeyKind};
use bedrock_standin::sts::StsFault;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::journal::{Fate, Journal, Moment};
use crate::users::Provider;
use crate::world::World;

/// Shortest time between rotations of one provider's keys. The gateway fetches unknown keys at most once in ten
/// seconds, and the provider has to publish a key for as long as its tokens are valid.
const KEYS_STAY: Duration = Duration::from_secs(65);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    StsThrottles,
    StsFails,
    StsIsSlow,
    StsIsDown,
    BedrockResets,
    BedrockRefuses,
    SessionsAreRefused,
    BedrockIsDown,
    ConnectionsAreClosed,
    KeysRotate,
    ProviderIsDown,
    ClockIsOff,
    ConfigurationReloads,
}

use Cause as C;

impl Cause {
    pub(crate) const ALL: [Self; 13] = [
        C::StsThrottles,
        C::StsFails,
        C::StsIsSlow,
        C::StsIsDown,
        C::BedrockResets,
        C::BedrockRefuses,
        C::SessionsAreRefused,
        C::BedrockIsDown,
        C::ConnectionsAreClosed,
        C::KeysRotate,
        C::ProviderIsDown,
        C::ClockIsOff,
        C::ConfigurationReloads,
    ];

    /// Whether two causes must not be active together: they would act as one, or leave tokens that the gateway cannot
    /// verify.
    fn excludes(self, other: Self) -> bool {
        let both_in = |group: &[Self]| group.contains(&self) && group.contains(&other);
        both_in(&[C::StsThrottles, C::StsFails, C::StsIsSlow, C::StsIsDown])
            || both_in(&[C::BedrockIsDown, C::ConnectionsAreClosed])
            || both_in(&[C::KeysRotate, C::ProviderIsDown])
            || both_in(&[C::ConfigurationReloads, C::ProviderIsDown])
    }
}

/// The time in which a cause was active.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) cause: Cause,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

/// Faults at Bedrock in a thousand calls.
#[derive(Debug, Default)]
struct Chances {
    reset: u64,
    refused: u64,
    credentials: u64,
}

/// Chooses the fault of each call at Bedrock and records it in the journal.
pub(crate) struct Weather {
    chances: Mutex<Chances>,
    dice: Mutex<Dice>,
}

impl Weather {
    pub(crate) fn start(world: &Arc<World>, journal: &Arc<Journal>, dice: Dice) -> Arc<Self> {
        let weather = Arc::new(Self { chances: Mutex::default(), dice: Mutex::new(dice) });
        let (deciding, journal, around) = (Arc::clone(&weather), Arc::clone(journal), Arc::downgrade(world));
        world.bed.standin.bedrock.choose_faults(move |call| {
            let (fate, fault) = deciding.decide();
            if let Some(world) = around.upgrade() {
                journal.arrived(call, &world.users, fate);
            }
            fault
        });
        weather
    }

    fn decide(&self) -> (Fate, Option<Fault>) {
        let (chances, mut dice) = (self.chances.lock().unwrap(), self.dice.lock().unwrap());
        let frames = 1 + dice.index(8);
        let later = [Fault::ResetMidStream(frames), Fault::ResetMidFrame(frames)];
        let (fate, fault) = if dice.chance(chances.reset) {
            match dice.below(3) {
                0 => (Fate::ResetBeforeFirstByte, Fault::ResetBeforeHead),
                1 => (Fate::ResetAtFirstByte, Fault::ResetMidStream(0)),
                _ => (Fate::ResetLater, later[dice.index(2)].clone()),
            }
        } else if dice.chance(chances.refused) {
            match dice.below(3) {
                0 => (Fate::Throttled, Fault::Throttle),
                1 => (Fate::Failed, Fault::Error(500, "InternalServerException", "on command")),
                _ => (Fate::EndedInException, Fault::ExceptionMidStream(frames, "throttlingException")),
            }
        } else if dice.chance(chances.credentials) {
            let kind = ["ExpiredTokenException", "InvalidToken"][dice.index(2)];
            let in_body_only = dice.chance(500);
            (Fate::CredentialsRefused, Fault::CredentialsRefused { kind, in_body_only })
        } else {
            return (Fate::Answered, None);
        };
        (fate, Some(fault))
    }
}

/// Starts faults and ends them.
pub(crate) struct Director<'a> {
    pub(crate) world: &'a World,
    pub(crate) gateway: &'a Gateway,
    pub(crate) journal: &'a Journal,
    weather: Arc<Weather>,
    dice: Dice,
    /// The causes to draw next. Each cause has its turn before any has a second.
    deck: VecDeque<Cause>,
    rotations: Vec<Rotation>,
    edition: u64,
    pub(crate) windows: Vec<Window>,
}

/// One provider's keys.
struct Rotation {
    provider: Provider,
    at: Option<Instant>,
    /// The key that the next rotation removes. By then every token that it signed has expired.
    outgoing: String,
}

impl<'a> Director<'a> {
    pub(crate) fn new(
        world: &'a World,
        gateway: &'a Gateway,
        journal: &'a Journal,
        weather: Arc<Weather>,
        dice: Dice,
    ) -> Self {
        let rotation = |provider| {
            let outgoing = world.provider(provider).kid(Algorithm::ES256);
            Rotation { provider, at: None, outgoing }
        };
        let rotations = vec![rotation(Provider::Staff), rotation(Provider::Partners)];
        let (deck, windows) = (VecDeque::new(), Vec::new());
        Self { world, gateway, journal, weather, dice, deck, rotations, edition: 0, windows }
    }

    /// Runs one phase after another until then.
    pub(crate) async fn run(&mut self, until: Instant) {
        while Instant::now() < until {
            let causes = self.draw();
            let lifetime = Duration::from_secs(6 + self.dice.below(10));
            self.world.bed.standin.sts.set_lifetime(Some(lifetime));
            let names: Vec<_> = causes.iter().map(|cause| format!("{cause:?}")).collect();
            println!("{:6} s  {}", self.journal.now() / 1_000, names.join(", "));
            let from = self.journal.now();
            for cause in &causes {
                self.begin(*cause).await;
            }
            self.pass(3_000, 3_000).await;
            for cause in &causes {
                self.end(*cause).await;
            }
            let to = self.journal.now();
            self.windows.extend(causes.into_iter().map(|cause| Window { cause, from, to }));
            self.pass(1_000, 3_000).await;
        }
    }

    async fn pass(&mut self, least: u64, more: u64) {
        tokio::time::sleep(Duration::from_millis(least + self.dice.below(more))).await;
    }

    /// Draws one to three causes that may be active together.
    fn draw(&mut self) -> Vec<Cause> {
        let wanted = 1 + self.dice.index(3);
        let mut drawn: Vec<Cause> = Vec::new();
        while drawn.len() < wanted {
            if self.deck.is_empty() {
                let mut all = Cause::ALL;
                self.dice.shuffle(&mut all);
                self.deck.extend(all);
            }
            let fits = |cause: &Cause| drawn.iter().all(|other| other != cause && !other.excludes(*cause));
            let Some(place) = self.deck.iter().position(fits) else { break };
            drawn.extend(self.deck.remove(place));
        }
        drawn
    }

    async fn begin(&mut self, cause: Cause) {
        let (sts, bedrock) = (&self.world.bed.standin.sts, &self.world.bed.standin.bedrock);
        match cause {
            C::StsThrottles => sts.faults().always(StsFault::Throttle),
            C::StsFails => {
                let faults = [StsFault::Unavailable, StsFault::Reset, StsFault::Malformed];
                let fault = faults[self.dice.index(faults.len())].clone();
                // The gateway's retries overcome the first ones.
                sts.faults().next(5, fault.clone());
                sts.faults().next(20, StsFault::Late(Duration::from_millis(100)));
                sts.faults().always(fault);
            }
            C::StsIsSlow => sts.faults().always(StsFault::Late(Duration::from_millis(1_000))),
            C::StsIsDown => sts.server().stop().await,
            C::BedrockResets => self.weather.chances.lock().unwrap().reset = 200,
            C::BedrockRefuses => self.weather.chances.lock().unwrap().refused = 200,
            C::SessionsAreRefused => self.weather.chances.lock().unwrap().credentials = 50,
            C::BedrockIsDown => bedrock.stop().await,
            C::ConnectionsAreClosed => bedrock.close_connections().await,
            C::KeysRotate => self.rotate(),
            C::ProviderIsDown => self.world.provider(Provider::Staff).server().stop().await,
            C::ClockIsOff => {
                let off = 600 + i64::try_from(self.dice.below(7_200)).unwrap();
                bedrock.set_clock_offset(if self.dice.chance(500) { off } else { -off });
            }
            C::ConfigurationReloads => {
                self.gateway.reload("[listen]\nhttps = 8443\n");
                self.reload();
            }
        }
    }

    async fn end(&mut self, cause: Cause) {
        let (sts, bedrock) = (&self.world.bed.standin.sts, &self.world.bed.standin.bedrock);
        match cause {
            C::StsThrottles | C::StsFails | C::StsIsSlow => sts.faults().clear(),
            C::StsIsDown => sts.server().restart(),
            C::BedrockResets => self.weather.chances.lock().unwrap().reset = 0,
            C::BedrockRefuses => self.weather.chances.lock().unwrap().refused = 0,
            C::SessionsAreRefused => self.weather.chances.lock().unwrap().credentials = 0,
            C::BedrockIsDown => bedrock.restart(),
            C::ConnectionsAreClosed => bedrock.close_connections().await,
            C::KeysRotate => {}
            C::ProviderIsDown => self.world.provider(Provider::Staff).server().restart(),
            C::ClockIsOff => bedrock.set_clock_offset(0),
            C::ConfigurationReloads => self.reload(),
        }
    }

    fn reload(&mut self) {
        self.edition += 1;
        self.gateway.reload(&self.world.configuration(self.edition));
    }

    /// Makes a provider sign with a new key, and no longer publish the one before the last.
    fn rotate(&mut self) {
        let ripe = |rotation: &&mut Rotation| rotation.at.is_none_or(|at| at.elapsed() > KEYS_STAY);
        let Some(rotation) = self.rotations.iter_mut().find(ripe) else { return };
        let provider: &Idp = self.world.provider(rotation.provider);
        let signing = provider.kid(Algorithm::ES256);
        if signing != rotation.outgoing {
            provider.remove_key(&rotation.outgoing);
        }
        rotation.outgoing = signing;
        rotation.at = Some(Instant::now());
        provider.add_key(KeyKind::P256);
    }
}
