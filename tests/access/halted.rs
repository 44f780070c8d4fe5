//! Freezes on the ways that commands come: alone, in batches, and on streams that were open before. Of an account, a terminal and
//! a cashier each, from the answer to the freeze to the answer to the thaw.

use tallystick::service::wire::freeze_subject::Subject;
use tallystick::service::wire::{self, Decision, RefusalCode};

use crate::freezes::{Desk, account, freeze, thaw, till_of};
use crate::shop::accrual;
use crate::support::{House, with_key};

/// The three subjects that can be frozen, as the basket of [`sale`] has them.
fn subjects() -> [(&'static str, Option<wire::FreezeSubject>, RefusalCode); 3] {
    let cashier = wire::FreezableCashier { partner: "north".to_owned(), cashier_id: "kim".to_owned() };
    let cashier = Some(wire::FreezeSubject { subject: Some(Subject::Cashier(cashier)) });
    [
        ("account", account("m1"), RefusalCode::AccountFrozen),
        ("terminal", till_of("north"), RefusalCode::TerminalFrozen),
        ("cashier", cashier, RefusalCode::CashierFrozen),
    ]
}

/// Bought by m1, of kim at the first till.
fn sale(id: &str) -> wire::AccrueRequest {
    let mut request = accrual(id, "m1", 100);
    request.basket.as_mut().unwrap().cashier_id = "kim".to_owned();
    request
}

/// Bought by another, of another, elsewhere.
fn sale_elsewhere(id: &str) -> wire::AccrueRequest {
    let mut request = accrual(id, "m2", 100);
    let basket = request.basket.as_mut().unwrap();
    (basket.cashier_id, basket.terminal_id) = ("lee".to_owned(), "till-2".to_owned());
    request
}

/// A stream that stays open.
struct Open {
    commands: tokio::sync::mpsc::Sender<wire::CommandStreamRequest>,
    results: tonic::Streaming<wire::CommandStreamResponse>,
}

impl Open {
    async fn of(desk: &mut Desk) -> Self {
        let (commands, waiting) = tokio::sync::mpsc::channel(4);
        let requests = tokio_stream::wrappers::ReceiverStream::new(waiting);
        let results = desk.ledger.command_stream(with_key(&desk.till, requests)).await.unwrap().into_inner();
        Self { commands, results }
    }

    /// Sends one message and waits for its results.
    async fn sends(&mut self, requests: &[wire::AccrueRequest]) -> Vec<Option<RefusalCode>> {
        let command = |request: &wire::AccrueRequest| wire::Command {
            command: Some(wire::command::Command::Accrue(request.clone())),
        };
        let commands = requests.iter().map(command).collect();
        self.commands.send(wire::CommandStreamRequest { commands }).await.unwrap();
        let mut refused = Vec::new();
        while refused.len() < requests.len() {
            let results = self.results.message().await.unwrap().expect("the stream is open").results;
            refused.extend(results.into_iter().map(|result| refused_for(&result.decision.unwrap())));
        }
        refused
    }
}

fn refused_for(decision: &Decision) -> Option<RefusalCode> {
    decision.refusal.as_ref().map(wire::Refusal::code)
}

impl Desk {
    async fn batch(&mut self, requests: &[wire::AccrueRequest]) -> Vec<Option<RefusalCode>> {
        let batch = wire::AccrueBatchRequest { requests: requests.to_vec() };
        let answer = self.ledger.accrue_batch(with_key(&self.till, batch)).await.unwrap().into_inner();
        answer.decisions.iter().map(refused_for).collect()
    }

    /// Sends a sale of the subject and one of another in each of the ways that there are.
    async fn sells(&mut self, stream: &mut Open, name: &str) -> [Vec<Option<RefusalCode>>; 3] {
        let both = |way: &str| [sale(&format!("{name}-{way}")), sale_elsewhere(&format!("{name}-{way}-2"))];
        let mut alone = Vec::new();
        for request in both("alone") {
            alone.push(refused_for(&self.accrue(request).await));
        }
        [alone, self.batch(&both("batch")).await, stream.sends(&both("stream")).await]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_stops_what_comes_in_batches_and_on_streams_that_were_open_before() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    let mut stream = Open::of(&mut desk).await;
    let none = [vec![None; 2], vec![None; 2], vec![None; 2]];
    for (what, subject, code) in subjects() {
        assert_eq!(desk.sells(&mut stream, &format!("{what}-before")).await, none, "{what}");
        let request = with_key(&desk.operator, freeze(subject.clone()));
        assert!(desk.fraud.freeze(request).await.unwrap().into_inner().changed);
        // Its answer is the last moment at which anything is granted, in whatever way it comes.
        let stopped = vec![Some(code), None];
        for round in 0..20 {
            let told = desk.sells(&mut stream, &format!("{what}-frozen-{round}")).await;
            assert_eq!(told, [stopped.clone(), stopped.clone(), stopped.clone()], "{what}, round {round}");
        }
        let request = with_key(&desk.operator, thaw(subject));
        assert!(desk.fraud.thaw(request).await.unwrap().into_inner().changed);
        assert_eq!(desk.sells(&mut stream, &format!("{what}-after")).await, none, "{what}");
    }
}

/// What the sender of a full stream knew when it made each of its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Nothing,
    Frozen,
    Thawed,
    Over,
}

/// A stream that never pauses: what is made after the answer to the freeze is refused, and what is made after the answer to
/// the thaw is granted; what was on its way meanwhile may go either way, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_takes_hold_of_a_stream_that_is_full() {
    const SOME: usize = 300;
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    for (what, subject, code) in subjects() {
        let Open { commands, mut results } = Open::of(&mut desk).await;
        let (tell, known) = tokio::sync::watch::channel(Known::Nothing);
        let sending = tokio::spawn(async move {
            let mut made = Vec::new();
            loop {
                let knows = *known.borrow();
                if knows == Known::Over {
                    return made;
                }
                let command = wire::command::Command::Accrue(sale(&format!("{what}-{}", made.len())));
                let commands_of_one = vec![wire::Command { command: Some(command) }];
                made.push(knows);
                commands.send(wire::CommandStreamRequest { commands: commands_of_one }).await.unwrap();
            }
        });
        let mut codes = Vec::new();
        let mut read = async |codes: &mut Vec<Option<RefusalCode>>, until: &dyn Fn(&[Option<RefusalCode>]) -> bool| {
            while !until(codes) {
                let Some(message) = results.message().await.unwrap() else { return };
                codes.extend(message.results.iter().map(|result| refused_for(result.decision.as_ref().unwrap())));
            }
        };
        read(&mut codes, &|codes| codes.len() >= SOME).await;
        assert!(codes.iter().all(Option::is_none), "{what}: granted before the freeze");
        let request = with_key(&desk.operator, freeze(subject.clone()));
        assert!(desk.fraud.freeze(request).await.unwrap().into_inner().changed);
        tell.send(Known::Frozen).unwrap();
        let stopped = |codes: &[Option<RefusalCode>]| codes.iter().filter(|told| told.is_some()).count();
        read(&mut codes, &|codes| stopped(codes) >= 4 * SOME).await;
        let told_before_thaw = codes.len();
        let request = with_key(&desk.operator, thaw(subject));
        assert!(desk.fraud.thaw(request).await.unwrap().into_inner().changed);
        tell.send(Known::Thawed).unwrap();
        let granted = |codes: &[Option<RefusalCode>]| codes.iter().rev().take_while(|told| told.is_none()).count();
        read(&mut codes, &|codes| granted(codes) >= 4 * SOME).await;
        tell.send(Known::Over).unwrap();
        read(&mut codes, &|_| false).await;
        let made = sending.await.unwrap();
        assert_eq!(made.len(), codes.len(), "{what}: each is answered once");

        let of = |knows: Known| made.iter().position(|known| *known >= knows).unwrap();
        let (frozen, thawed) = (of(Known::Frozen), of(Known::Thawed));
        assert!(
            codes[..told_before_thaw].iter().skip(frozen).all(|told| *told == Some(code)),
            "{what}: after the freeze"
        );
        assert!(codes.iter().skip(thawed).all(Option::is_none), "{what}: after the thaw");
        let turns = codes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(turns, 2, "{what}: it is frozen once and thawed once");
    }
}
