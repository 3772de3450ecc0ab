//! What each task of a list asks for.
//!
//! Owns classes: tasks that ask for the same form one. A list without directives has one class, and costs what it would
//! cost without classes.

pub use super::Class;
use super::Demand;
use super::list::{Asks, Counts, ListAsks};
use super::room::Load;

/// What the tasks of a class have in common.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Kind {
    /// What each asks of its rank.
    pub demand: Demand,
    /// Higher goes first.
    pub priority: i32,
    /// How much each takes of what the farm shares out.
    pub shared: Counts,
}

/// What the tasks of a run ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Demands {
    /// Those that differ; at least one.
    pub(crate) kinds: Vec<Kind>,
    /// By task; empty if there is only one kind.
    pub(crate) of_tasks: Vec<Class>,
}

impl Default for Demands {
    fn default() -> Self {
        Self { kinds: vec![Kind::default()], of_tasks: Vec::new() }
    }
}

impl Demands {
    /// Of a list with this many tasks. `options`: what the command line asks for, for tasks of which the list says
    /// nothing.
    pub(crate) fn new(options: Asks, list: ListAsks, tasks: u32) -> Self {
        let ListAsks { kinds, mut of_tasks, .. } = list;
        let kinds: Vec<Asks> = if kinds.is_empty() { vec![Asks::default()] } else { kinds };
        let kinds: Vec<Asks> = kinds.into_iter().map(|kind| kind.or(options)).collect();
        // Where some tasks have CPUs of their own, every other one has one.
        let one = kinds.iter().any(|kind| kind.cpus.is_some()).then_some(1);
        let whole = |kind: Asks| {
            let demand = Demand {
                cpus: kind.cpus.or(one).unwrap_or_default(),
                gpus: kind.gpus.unwrap_or_default(),
                memory_mib: kind.memory_mib.unwrap_or_default(),
            };
            Kind {
                demand,
                priority: kind.priority.unwrap_or_default(),
                shared: kind.shared.map(Option::unwrap_or_default),
            }
        };
        let wholes: Vec<Kind> = kinds.into_iter().map(whole).collect();
        of_tasks.resize(if of_tasks.is_empty() { 0 } else { tasks as usize }, Class::default());
        // Only those that some task has, each once.
        let mut kinds: Vec<Kind> = Vec::new();
        let mut class_of: Vec<Option<Class>> = vec![None; wholes.len()];
        let mut settle = |class: Class| {
            let kind = class.0 as usize;
            *class_of[kind].get_or_insert_with(|| {
                let known = kinds.iter().position(|known| *known == wholes[kind]).unwrap_or_else(|| {
                    kinds.push(wholes[kind]);
                    kinds.len() - 1
                });
                Class(u16::try_from(known).expect("at most CLASSES_MAX"))
            })
        };
        if of_tasks.is_empty() {
            settle(Class::default());
        }
        of_tasks.iter_mut().for_each(|class| *class = settle(*class));
        if kinds.len() == 1 {
            of_tasks = Vec::new();
        }
        Self { kinds, of_tasks }
    }

    /// What a task asks for.
    pub(crate) fn of(&self, task: u32) -> &Kind {
        let class = self.of_tasks.get(task as usize).copied().unwrap_or_default();
        &self.kinds[class.0 as usize]
    }

    /// What a rank must know.
    pub(crate) fn of_ranks(&self) -> Vec<Demand> {
        self.kinds.iter().map(|kind| kind.demand).collect()
    }

    /// As a list asks for it, for a dry run: `cpus=8 priority=1 license=1`. `names`: of what the farm shares out.
    pub(crate) fn keys(&self, task: u32, names: &[&str]) -> String {
        let Kind { demand, priority, shared } = self.of(task);
        let priority = (*priority != 0).then(|| format!("priority={priority}"));
        let shared = names.iter().zip(shared).filter(|&(_, &count)| count > 0);
        let shared = shared.map(|(name, count)| format!("{name}={count}"));
        let of_rank = (!demand.is_none()).then(|| demand.keys());
        let parts: Vec<String> = of_rank.into_iter().chain(priority).chain(shared).collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
    }

    /// Whether some task asks for anything, or goes before others.
    pub(crate) fn say_something(&self) -> bool {
        self.kinds != [Kind::default()]
    }

    /// Whether tasks differ in anything, or the farm shares something out.
    pub(crate) fn differ(&self) -> bool {
        self.kinds.len() > 1 || self.kinds[0].shared != Counts::default()
    }

    /// The first task that takes more of something than there is: its ID, the number of the thing, and how many it takes.
    pub(crate) fn excess(&self, totals: &Counts) -> Option<(u32, usize, u32)> {
        let over = |kind: &Kind| (0..totals.len()).find(|&thing| kind.shared[thing] > totals[thing]);
        let (class, thing) = self.kinds.iter().enumerate().find_map(|(class, kind)| Some((class, over(kind)?)))?;
        let first = self.of_tasks.iter().position(|of| of.0 as usize == class).unwrap_or(0);
        Some((u32::try_from(first).unwrap_or(0), thing, self.kinds[class].shared[thing]))
    }
}

/// The demands of a run, as the farmer compares them.
#[derive(Clone, Debug)]
pub(crate) struct Loads {
    of_classes: Vec<Load>,
    /// No task asks for less of anything.
    pub(crate) least: Load,
}

impl Loads {
    /// Of these demands, by class.
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let of_classes: Vec<Load> = kinds.iter().map(|kind| Load::of(&kind.demand)).collect();
        let least = of_classes.iter().copied().reduce(Load::least).unwrap_or_default();
        Self { of_classes, least }
    }

    /// Of a class; of an unknown one, that of the first.
    pub(crate) fn of(&self, class: Class) -> Load {
        self.of_classes.get(class.0 as usize).or(self.of_classes.first()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::list::{CLASSES_MAX, TooMany};
    use super::*;

    fn cpus(cpus: u32) -> Asks {
        Asks { cpus: Some(cpus), ..Asks::default() }
    }

    fn demands(options: Asks, list: &[Asks]) -> Demands {
        let mut asks = ListAsks::default();
        for (task, of) in (1..).zip(list) {
            asks.extend(task, *of).unwrap();
        }
        Demands::new(options, asks, u32::try_from(list.len()).unwrap())
    }

    fn numbers(demands: &Demands) -> Vec<u16> {
        demands.of_tasks.iter().map(|class| class.0).collect()
    }

    /// A list that says nothing has one class, and nothing per task.
    #[test]
    fn a_list_without_directives_has_one_class() {
        let none = demands(Asks::default(), &[Asks::default(); 3]);
        assert_eq!((none.kinds.len(), none.of_tasks.len(), none.differ()), (1, 0, false));
        let all = demands(cpus(4), &[Asks::default(); 3]);
        assert_eq!(
            (all.of_ranks(), all.of(2).demand.cpus, all.differ()),
            (vec![Demand { cpus: 4, ..Demand::default() }], 4, false)
        );
    }

    /// The list goes before the command line, and the command line serves tasks of which the list says nothing.
    #[test]
    fn the_list_goes_before_options() {
        let mixed = demands(cpus(2), &[Asks::default(), cpus(4), cpus(2), cpus(4)]);
        assert_eq!(numbers(&mixed), [0, 1, 0, 1], "the same demand is the same class");
        assert_eq!([mixed.of(0).demand.cpus, mixed.of(1).demand.cpus, mixed.of(2).demand.cpus], [2, 4, 2]);
        let memory = Asks { memory_mib: Some(100), ..Asks::default() };
        assert_eq!(demands(cpus(2), &[memory]).of(0).demand, Demand { cpus: 2, gpus: 0, memory_mib: 100 });
    }

    /// A task that asks for nothing, beside others that have CPUs of their own, has one: otherwise it would use theirs.
    #[test]
    fn beside_others_a_task_has_one_cpu() {
        let mixed = demands(Asks::default(), &[Asks::default(), cpus(4), cpus(1)]);
        assert_eq!((numbers(&mixed), mixed.of(0).demand.cpus), (vec![0, 1, 0], 1));
        let gpu = Asks { gpus: Some(1_000), ..Asks::default() };
        assert_eq!(demands(Asks::default(), &[gpu, Asks::default()]).of(0).demand.cpus, 0);
    }

    /// A list whose tasks all ask for the same is as one for which an option asks.
    #[test]
    fn equal_demands_are_one_class() {
        let same = demands(Asks::default(), &[cpus(4), cpus(4)]);
        assert_eq!((same.differ(), same.of_tasks.len(), same.of(1).demand.cpus), (false, 0, 4));
    }

    /// Tasks before the first directive ask for nothing, and so do those that are not mentioned at the end.
    #[test]
    fn tasks_without_a_directive_count() {
        let mut asks = ListAsks::default();
        asks.extend(2, Asks::default()).unwrap();
        asks.extend(3, cpus(4)).unwrap();
        let demands = Demands::new(Asks::default(), asks, 5);
        assert_eq!((0..5).map(|task| demands.of(task).demand.cpus).collect::<Vec<_>>(), [1, 1, 4, 1, 1]);
    }

    /// A priority makes a class of its own, and is shown.
    #[test]
    fn priorities_make_classes() {
        let urgent = Asks { priority: Some(5), ..Asks::default() };
        let mixed = demands(cpus(2), &[Asks::default(), urgent, cpus(2)]);
        assert_eq!((numbers(&mixed), mixed.kinds[0].demand == mixed.kinds[1].demand), (vec![0, 1, 0], true));
        assert_eq!([mixed.keys(0, &[]), mixed.keys(1, &[])], ["cpus=2", "cpus=2 priority=5"]);
        assert_eq!(demands(Asks::default(), &[Asks::default(), urgent]).keys(1, &[]), "priority=5");
    }

    proptest! {
        /// What a process sends arrives, and any bytes are it or are refused.
        #[test]
        fn any_bytes_are_asks_or_none(of in prop::collection::vec(any::<(Option<u32>, Option<i32>, Option<u32>)>(), 0..6), bytes: Vec<u8>) {
            let mut asks = ListAsks::default();
            for (task, (cpus, priority, memory)) in (1..).zip(&of) {
                let gpus = cpus.map(|cpus| cpus / 2);
                let memory_mib = memory.map(u64::from);
                asks.extend(task, Asks { cpus: *cpus, gpus, memory_mib, priority: *priority, shared: [*memory; 8] }).unwrap();
            }
            let (mut sent, mut at) = (vec![9], 1);
            asks.encode(&mut sent);
            prop_assert_eq!(ListAsks::decode(&sent, &mut at, 6), Some(asks));
            prop_assert_eq!(at, sent.len());
            let damaged = [&sent[..sent.len() / 2], &bytes].concat();
            for bytes in [&bytes, &damaged] {
                if let Some(asks) = ListAsks::decode(bytes, &mut 0, 3) {
                    let _ = Demands::new(Asks::default(), asks, 3);
                }
            }
        }
    }

    /// What the farm shares out makes a class of its own, even if it is the only one; a task that takes more than there is
    /// is found.
    #[test]
    fn shared_things_make_classes() {
        let takes = |count| {
            let mut asks = Asks::default();
            asks.shared[1] = Some(count);
            asks
        };
        let same = demands(Asks::default(), &[takes(2), takes(2)]);
        assert_eq!((same.kinds.len(), same.differ(), same.keys(0, &["a", "b"])), (1, true, "b=2".to_owned()));
        let mixed = demands(Asks::default(), &[Asks::default(), takes(0), takes(3)]);
        assert_eq!(numbers(&mixed), [0, 0, 1]);
        let mut totals = Counts::default();
        totals[1] = 2;
        assert_eq!((same.excess(&totals), mixed.excess(&totals)), (None, Some((2, 1, 3))));
    }

    /// The number of classes has a limit.
    #[test]
    fn too_many_classes_are_refused() {
        let mut asks = ListAsks::default();
        let most = u32::try_from(CLASSES_MAX).unwrap();
        for task in 1..=most {
            asks.extend(task as usize, cpus(task)).unwrap();
        }
        assert_eq!(asks.extend(CLASSES_MAX + 1, cpus(1)), Ok(()));
        assert_eq!(asks.extend(CLASSES_MAX + 2, cpus(most + 1)), Err(TooMany));
    }
}
