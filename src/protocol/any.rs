//! Any message at all, and what the codec makes of it. Unit tests only.

use proptest::prelude::*;

use super::codec::{FRAME_LEN_MAX, decode, encode};
use super::*;
use crate::fuzz::{nearly, within};
use crate::runner::config::{Defined, Shell, Start};
use crate::runner::fields::{Field, Template};
use crate::task::Outcome;

/// Small numbers, and those at the limits.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..12_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn long() -> impl Strategy<Value = u64> {
    prop_oneof![number().prop_map(u64::from), any::<u64>(), Just(u64::MAX)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn ids() -> impl Strategy<Value = Vec<TaskId>> {
    prop::collection::vec(number().prop_map(TaskId), 0..5)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<u8>().prop_map(Outcome::Exited),
        any::<u8>().prop_map(Outcome::Signaled),
        any::<String>().prop_map(Outcome::NotStarted),
        (any::<Option<u8>>(), any::<Option<u8>>(), any::<String>())
            .prop_map(|(exit, signal, reason)| Outcome::Unkept { exit, signal, reason }),
    ]
}

fn result() -> impl Strategy<Value = TaskResult> {
    ((number(), any::<u16>(), number(), any::<[bool; 2]>()), outcome(), [long(), long(), long(), long(), long()])
        .prop_map(
            |(
                (id, attempt, slot, [timed_out, left_behind]),
                outcome,
                [start_us, duration_us, user_us, system_us, max_rss_kib],
            )| {
                TaskResult {
                    id: TaskId(id),
                    attempt: Attempt(attempt),
                    slot,
                    start_us,
                    duration_us,
                    outcome,
                    user_us,
                    system_us,
                    max_rss_kib,
                    timed_out,
                    left_behind,
                }
            },
        )
}

fn template() -> impl Strategy<Value = Template> {
    let field = prop::sample::select(vec![Field::Task, Field::Run, Field::Id, Field::Tempdir]);
    prop_oneof![
        "[a-z ]{0,5}".prop_map(|text| Template::literal(&text)),
        ("[a-z ]{0,5}", field).prop_map(|(text, field)| Template::around(&text, field)),
    ]
}

fn runner() -> impl Strategy<Value = RunnerConfig> {
    let start = prop_oneof![
        prop::sample::select(vec![Shell::Auto, Shell::Bash, Shell::Sh]).prop_map(Start::Shell),
        Just(Start::Split),
        (prop::collection::vec(template(), 0..4), any::<bool>())
            .prop_map(|(words, by_stdin)| Start::Words { words, by_stdin }),
        template().prop_map(|line| Start::Line(Shell::Sh, line)),
    ];
    let variables = prop::collection::vec((bytes(), template()), 0..3);
    let defined = (start, bytes(), prop::option::of(template()), variables, any::<bool>())
        .prop_map(|(start, setup, cwd, variables, proc_number)| Defined { start, setup, cwd, variables, proc_number });
    prop_oneof![Just(RunnerConfig::Basic), defined.prop_map(|defined| RunnerConfig::Defined(Box::new(defined)))]
}

fn config() -> impl Strategy<Value = WorkerConfig> {
    let slots =
        prop_oneof![Just(SlotCount::Cpus), number().prop_map(SlotCount::CpusUpTo), number().prop_map(SlotCount::Fixed)];
    let bind = prop_oneof![Just(Bind::None), Just(Bind::Slot)];
    let logs = prop_oneof![
        prop::sample::select(vec![Logs::Task, Logs::Failed, Logs::Rank, Logs::None]),
        number().prop_map(Logs::Folders),
    ];
    let demand = (number(), number(), long()).prop_map(|(cpus, gpus, memory_mib)| Demand { cpus, gpus, memory_mib });
    let kinds = prop::collection::vec(demand, 0..4);
    let numbers = (number(), number(), long(), any::<u8>());
    (numbers, (slots, kinds), bytes(), bytes(), (bind, logs), prop::option::of(any::<String>()), runner()).prop_map(
        |(
            (protocol, rank, grace_ms, log_level),
            (slots, kinds),
            cwd,
            workdir,
            (bind, logs),
            farmer_only_host,
            runner,
        )| {
            WorkerConfig {
                protocol,
                rank: Rank(rank),
                slots,
                kinds,
                grace_ms,
                cwd,
                workdir,
                bind,
                logs,
                farmer_only_host,
                runner,
                log_level,
            }
        },
    )
}

/// Any message from a farmer.
pub(crate) fn to_worker() -> impl Strategy<Value = ToWorker> {
    let assignment = (number(), any::<(u16, u16)>(), bytes()).prop_map(|(id, (attempt, class), command)| Assignment {
        id: TaskId(id),
        attempt: Attempt(attempt),
        class: Class(class),
        command,
    });
    let level = prop::sample::select(vec![StopLevel::Drain, StopLevel::Terminate, StopLevel::Kill]);
    prop_oneof![
        1 => config().prop_map(|config| ToWorker::Start(Box::new(config))),
        4 => (number(), prop::collection::vec(assignment, 0..5)).prop_map(|(seq, tasks)| ToWorker::Assign { seq, tasks }),
        2 => number().prop_map(|count| ToWorker::Recall { count }),
        1 => level.prop_map(|level| ToWorker::Stop { level }),
        1 => Just(ToWorker::Heartbeat),
        2 => number().prop_map(|seq| ToWorker::Rejoin { seq }),
        1 => long().prop_map(|us| ToWorker::Limit { us }),
        1 => any::<bool>().prop_map(|skip_finalize| ToWorker::Leave { skip_finalize }),
    ]
}

/// Any message from a worker.
pub(crate) fn to_farmer() -> impl Strategy<Value = ToFarmer> {
    let capacity =
        (number(), number(), long()).prop_map(|(cpus, gpus, memory_mib)| Capacity { cpus, gpus, memory_mib });
    let hello = (number(), any::<String>(), number(), capacity, prop::option::of(any::<String>())).prop_map(
        |(protocol, host, slots, capacity, shortage)| ToFarmer::Hello { protocol, host, slots, capacity, shortage },
    );
    let executing = (number(), number(), long(), long()).prop_map(|(id, slot, start_us, duration_us)| Executing {
        id: TaskId(id),
        slot,
        start_us,
        duration_us,
    });
    let results = || prop::collection::vec(result(), 0..4);
    let report = ((results(), results()), ids(), [number(), number(), number()], long(), any::<bool>()).prop_map(
        |((results, interrupted), returned, [ack, undecided, pause_ms], ack_age_us, recall_answered)| {
            ToFarmer::Report { results, interrupted, returned, ack, ack_age_us, undecided, recall_answered, pause_ms }
        },
    );
    prop_oneof![
        2 => hello,
        4 => report,
        1 => Just(ToFarmer::Heartbeat),
        1 => any::<u8>().prop_map(|signal| ToFarmer::Signaled { signal }),
        1 => Just(ToFarmer::Stopped),
        1 => (any::<String>(), prop::collection::vec(executing, 0..4), any::<bool>()).prop_map(
            |(reason, executing, can_restart)| ToFarmer::PoolLost { reason, executing, can_restart }
        ),
        1 => any::<String>().prop_map(|reason| ToFarmer::Unfit { reason }),
        1 => (any::<u8>(), any::<String>()).prop_map(|(level, text)| ToFarmer::Log { level, text }),
        2 => (number(), ids()).prop_map(|(seq, tasks)| ToFarmer::Holds { seq, tasks }),
        1 => any::<String>().prop_map(|reason| ToFarmer::LogsFailed { reason }),
    ]
}

/// What decoding a frame may cost beyond its own bytes: a length in it may claim as much as a frame can have.
const MEMORY_MAX: usize = 2 * FRAME_LEN_MAX + (1 << 20);

proptest! {
    /// What is sent arrives.
    #[test]
    fn any_message_arrives(to_worker in to_worker(), to_farmer in to_farmer()) {
        prop_assert_eq!(decode::<ToWorker>(&encode(&to_worker).unwrap()).unwrap(), to_worker);
        prop_assert_eq!(decode::<ToFarmer>(&encode(&to_farmer).unwrap()).unwrap(), to_farmer);
    }

    /// Promise 5: bytes from a peer never cause a panic, and never cost more memory than a frame may have.
    #[test]
    fn any_bytes_are_a_message_or_an_error(
        bytes: Vec<u8>,
        to_worker in nearly(to_worker().prop_map(|message| encode(&message).unwrap())),
        to_farmer in nearly(to_farmer().prop_map(|message| encode(&message).unwrap())),
    ) {
        for bytes in [bytes, to_worker, to_farmer] {
            let _ = within(MEMORY_MAX, || decode::<ToFarmer>(&bytes).is_ok());
            let _ = within(MEMORY_MAX, || decode::<ToWorker>(&bytes).is_ok());
        }
    }
}
