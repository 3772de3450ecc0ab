//! What the tasks of a list ask for, while it is read.
//!
//! Owns how that is collected, line by line, and how it gets from the process that reads a list to rank 0.

use super::Class;

/// Most lists have a few; each event of the farmer may look at all of them.
pub(crate) const CLASSES_MAX: usize = 1_000;

/// How many things a farm may share out by `--resource`.
pub(crate) const RESOURCES_MAX: usize = 8;

/// Numbers of the things that a farm shares out, in the order of their options.
pub(crate) type Counts = [u32; RESOURCES_MAX];

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
    /// Of each thing that the farm shares out.
    pub(crate) shared: [Option<u32>; RESOURCES_MAX],
}

impl Asks {
    /// These, and the others where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            cpus: self.cpus.or(others.cpus),
            gpus: self.gpus.or(others.gpus),
            memory_mib: self.memory_mib.or(others.memory_mib),
            priority: self.priority.or(others.priority),
            shared: std::array::from_fn(|index| self.shared[index].or(others.shared[index])),
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
    pub(super) kinds: Vec<Asks>,
    /// Indexes into `kinds`; tasks that are missing at the end ask for nothing.
    pub(super) of_tasks: Vec<Class>,
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
            let shared = kind.shared.map(|count| count.map(u64::from));
            fields.into_iter().chain(shared).for_each(|field| push(field.unwrap_or(u64::MAX)));
        }
        bytes.extend(self.of_tasks.iter().flat_map(|class| class.0.to_le_bytes()));
    }

    /// Reads it at this place, which is moved behind it; `None` if it is invalid for a list of so many tasks.
    pub(crate) fn decode(bytes: &[u8], at: &mut usize, tasks: u32) -> Option<Self> {
        let mut number = || number(bytes, at);
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
            let mut shared = [None; RESOURCES_MAX];
            for count in &mut shared {
                *count = small(number()?)?;
            }
            asks.kinds.push(Asks { cpus, gpus, memory_mib, priority, shared });
        }
        let of_tasks = field(bytes, at, classes.checked_mul(2)?)?.chunks_exact(2);
        asks.of_tasks = of_tasks.map(|class| Class(u16::from_le_bytes([class[0], class[1]]))).collect();
        let is_valid = classes <= tasks as usize && asks.of_tasks.iter().all(|class| (class.0 as usize) < kinds);
        is_valid.then_some(asks)
    }
}

/// The next number of 8 bytes at this place, which is moved behind it.
pub(crate) fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    Some(u64::from_le_bytes(field(bytes, at, 8)?.try_into().ok()?))
}

fn field<'a>(bytes: &'a [u8], at: &mut usize, len: usize) -> Option<&'a [u8]> {
    let field = bytes.get(*at..at.checked_add(len)?)?;
    *at += len;
    Some(field)
}
