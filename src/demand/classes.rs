//! What each task of a list asks for.
//!
//! Owns classes: tasks that ask for the same form one. A list without directives has one class, and costs what it would
//! cost without classes.

use bincode::{Decode, Encode};

use super::Demand;
use super::room::Load;

/// Most lists have a few; each event of the farmer may look at all of them.
pub(crate) const CLASSES_MAX: usize = 1_000;

/// The number of a demand among those of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Encode, Decode)]
pub struct Class(pub u16);

/// What a list or an option asks for; what it does not mention is left to others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Asks {
    /// CPUs.
    pub(crate) cpus: Option<u32>,
    /// GPUs, in thousandths.
    pub(crate) gpus: Option<u32>,
    /// Memory, in MiB.
    pub(crate) memory_mib: Option<u64>,
    /// Higher goes first; 0 if nothing is said.
    pub(crate) priority: Option<i32>,
}

impl Asks {
    /// These, and the others where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            cpus: self.cpus.or(others.cpus),
            gpus: self.gpus.or(others.gpus),
            memory_mib: self.memory_mib.or(others.memory_mib),
            priority: self.priority.or(others.priority),
        }
    }
}

/// Too many different demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooMany;

/// What the tasks of a list ask for, in the order of the list, while it is read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct ListAsks {
    /// Those that differ; empty: no task asks for anything.
    kinds: Vec<Asks>,
    /// Indexes into `kinds`; tasks that are missing at the end ask for nothing.
    of_tasks: Vec<Class>,
    /// While there are no kinds: this many tasks ask for nothing.
    plain: usize,
}

impl ListAsks {
    /// The next tasks, up to this number of tasks, ask for this.
    ///
    /// # Errors
    /// If there are more than [`CLASSES_MAX`].
    pub(crate) fn extend(&mut self, tasks: usize, asks: Asks) -> Result<(), TooMany> {
        if tasks <= self.of_tasks.len().max(self.plain) {
            return Ok(());
        }
        if self.kinds.is_empty() {
            if asks == Asks::default() {
                self.plain = tasks;
                return Ok(());
            }
            if self.plain > 0 {
                self.kinds.push(Asks::default());
            }
            self.of_tasks.resize(self.plain, Class::default());
        }
        let kind = match self.kinds.iter().rposition(|kind| *kind == asks) {
            Some(kind) => kind,
            None if self.kinds.len() == CLASSES_MAX => return Err(TooMany),
            None => {
                self.kinds.push(asks);
                self.kinds.len() - 1
            }
        };
        self.of_tasks.resize(tasks, Class(u16::try_from(kind).expect("at most CLASSES_MAX")));
        Ok(())
    }
}

/// Between processes of this program on one node: numbers of 8 bytes, and classes of 2.
impl ListAsks {
    /// Appends it.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut push = |number: u64| bytes.extend(number.to_le_bytes());
        [self.kinds.len(), self.of_tasks.len(), self.plain].into_iter().for_each(|count| push(count as u64));
        for kind in &self.kinds {
            let priority = kind.priority.map(|priority| u64::from(priority.cast_unsigned()));
            let fields = [kind.cpus.map(u64::from), kind.gpus.map(u64::from), kind.memory_mib, priority];
            fields.into_iter().for_each(|field| push(field.unwrap_or(u64::MAX)));
        }
        bytes.extend(self.of_tasks.iter().flat_map(|class| class.0.to_le_bytes()));
    }

    /// Reads it at this place, which is moved behind it; `None` if it is invalid for a list of so many tasks.
    pub(crate) fn decode(bytes: &[u8], at: &mut usize, tasks: u32) -> Option<Self> {
        let mut next = |len: usize| {
            let field = bytes.get(*at..at.checked_add(len)?)?;
            *at += len;
            Some(field)
        };
        let mut number = || Some(u64::from_le_bytes(next(8)?.try_into().ok()?));
        let kinds = usize::try_from(number()?).ok().filter(|&kinds| kinds <= CLASSES_MAX)?;
        let [classes, plain] = [number()?, number()?].map(|count| u32::try_from(count).ok());
        let [classes, plain] = [classes?, plain?].map(|count| count as usize);
        let small = |field: u64| match field {
            u64::MAX => Some(None),
            field => u32::try_from(field).ok().map(Some),
        };
        let mut asks = Self { plain, ..Self::default() };
        for _ in 0..kinds {
            let (cpus, gpus, memory) = (small(number()?)?, small(number()?)?, number()?);
            let memory_mib = (memory != u64::MAX).then_some(memory);
            let priority = small(number()?)?.map(u32::cast_signed);
            asks.kinds.push(Asks { cpus, gpus, memory_mib, priority });
        }
        let of_tasks = next(classes.checked_mul(2)?)?.chunks_exact(2);
        asks.of_tasks = of_tasks.map(|class| Class(u16::from_le_bytes([class[0], class[1]]))).collect();
        let is_valid = classes <= tasks as usize && asks.of_tasks.iter().all(|class| (class.0 as usize) < kinds);
        is_valid.then_some(asks)
    }
}

/// What the tasks of a run ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Demands {
    /// Those that differ, in that or in their priority; at least one.
    pub(crate) kinds: Vec<Demand>,
    /// By kind: higher goes first.
    pub(crate) priorities: Vec<i32>,
    /// By task; empty if there is only one kind.
    pub(crate) of_tasks: Vec<Class>,
}

impl Default for Demands {
    fn default() -> Self {
        Self { kinds: vec![Demand::default()], priorities: vec![0], of_tasks: Vec::new() }
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
            (demand, kind.priority.unwrap_or_default())
        };
        let wholes: Vec<(Demand, i32)> = kinds.into_iter().map(whole).collect();
        of_tasks.resize(if of_tasks.is_empty() { 0 } else { tasks as usize }, Class::default());
        // Only those that some task has, each once.
        let mut kinds: Vec<(Demand, i32)> = Vec::new();
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
        let (kinds, priorities) = kinds.into_iter().unzip();
        Self { kinds, priorities, of_tasks }
    }

    /// What a task asks for.
    pub(crate) fn of(&self, task: u32) -> &Demand {
        let class = self.of_tasks.get(task as usize).copied().unwrap_or_default();
        &self.kinds[class.0 as usize]
    }

    /// Higher goes first.
    pub(crate) fn priority(&self, task: usize) -> i32 {
        let class = self.of_tasks.get(task).copied().unwrap_or_default();
        self.priorities[class.0 as usize]
    }

    /// As a list asks for it, for a dry run.
    pub(crate) fn keys(&self, task: u32) -> String {
        match self.priority(task as usize) {
            0 => self.of(task).keys(),
            priority => format!("{} priority={priority}", self.of(task).keys()).trim_start_matches("- ").to_owned(),
        }
    }

    /// Whether tasks differ in what they ask for, or in their priority.
    pub(crate) fn differ(&self) -> bool {
        self.kinds.len() > 1
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
    pub(crate) fn new(kinds: &[Demand]) -> Self {
        let of_classes: Vec<Load> = kinds.iter().map(Load::of).collect();
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
            (all.kinds.clone(), all.of(2).cpus, all.differ()),
            (vec![Demand { cpus: 4, ..Demand::default() }], 4, false)
        );
    }

    /// The list goes before the command line, and the command line serves tasks of which the list says nothing.
    #[test]
    fn the_list_goes_before_options() {
        let mixed = demands(cpus(2), &[Asks::default(), cpus(4), cpus(2), cpus(4)]);
        assert_eq!(numbers(&mixed), [0, 1, 0, 1], "the same demand is the same class");
        assert_eq!([mixed.of(0).cpus, mixed.of(1).cpus, mixed.of(2).cpus], [2, 4, 2]);
        let memory = Asks { memory_mib: Some(100), ..Asks::default() };
        assert_eq!(*demands(cpus(2), &[memory]).of(0), Demand { cpus: 2, gpus: 0, memory_mib: 100 });
    }

    /// A task that asks for nothing, beside others that have CPUs of their own, has one: otherwise it would use theirs.
    #[test]
    fn beside_others_a_task_has_one_cpu() {
        let mixed = demands(Asks::default(), &[Asks::default(), cpus(4), cpus(1)]);
        assert_eq!((numbers(&mixed), mixed.of(0).cpus), (vec![0, 1, 0], 1));
        let gpu = Asks { gpus: Some(1_000), ..Asks::default() };
        assert_eq!(demands(Asks::default(), &[gpu, Asks::default()]).of(0).cpus, 0);
    }

    /// A list whose tasks all ask for the same is as one for which an option asks.
    #[test]
    fn equal_demands_are_one_class() {
        let same = demands(Asks::default(), &[cpus(4), cpus(4)]);
        assert_eq!((same.differ(), same.of_tasks.len(), same.of(1).cpus), (false, 0, 4));
    }

    /// Tasks before the first directive ask for nothing, and so do those that are not mentioned at the end.
    #[test]
    fn tasks_without_a_directive_count() {
        let mut asks = ListAsks::default();
        asks.extend(2, Asks::default()).unwrap();
        asks.extend(3, cpus(4)).unwrap();
        let demands = Demands::new(Asks::default(), asks, 5);
        assert_eq!((0..5).map(|task| demands.of(task).cpus).collect::<Vec<_>>(), [1, 1, 4, 1, 1]);
    }

    /// A priority makes a class of its own, and is shown.
    #[test]
    fn priorities_make_classes() {
        let urgent = Asks { priority: Some(5), ..Asks::default() };
        let mixed = demands(cpus(2), &[Asks::default(), urgent, cpus(2)]);
        assert_eq!((numbers(&mixed), mixed.kinds[0] == mixed.kinds[1]), (vec![0, 1, 0], true));
        assert_eq!([mixed.keys(0), mixed.keys(1)], ["cpus=2", "cpus=2 priority=5"]);
        assert_eq!(demands(Asks::default(), &[Asks::default(), urgent]).keys(1), "priority=5");
    }

    proptest! {
        /// What a process sends arrives, and any bytes are it or are refused.
        #[test]
        fn any_bytes_are_asks_or_none(of in prop::collection::vec(any::<(Option<u32>, Option<i32>, Option<u32>)>(), 0..6), bytes: Vec<u8>) {
            let mut asks = ListAsks::default();
            for (task, (cpus, priority, memory)) in (1..).zip(&of) {
                let gpus = cpus.map(|cpus| cpus / 2);
                let memory_mib = memory.map(u64::from);
                asks.extend(task, Asks { cpus: *cpus, gpus, memory_mib, priority: *priority }).unwrap();
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
