//! MPI, as far as this program uses it: bytes from rank to rank, and an end that never hangs.
//!
//! The only file that names the mpi crate. The safe calls of rsmpi ignore MPI's return codes and return whatever a
//! failed call wrote, so probe, receive, send and test go to `mpi::ffi`, with MPI_ERRORS_RETURN, and every code is
//! checked. After startup there is no collective and no blocking call, so a rank that dies stalls no other. If a
//! library still hangs in a call, the process ends: see `sys::watch`. How MPI behaves when ranks die was measured;
//! docs/architecture.md and docs/sites.md summarize it.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::ffi;

use super::last_output;
use super::launcher::{Launch, Launcher, NodePlace};
use super::library::Library;
use super::outlive;
use super::parting::{LEAVE_PAUSE, exit_now, wait_for_rank_0, watched};
use super::shared_memory;
use super::transport::{Incoming, Leave};
use super::watch::{LOOKS_MAX, Watch};

/// All messages have this tag.
const TAG: c_int = 1;

/// Sends in progress to one rank at the same time; further ones wait in this program's memory.
const IN_FLIGHT_MAX: usize = 8;

/// Maximum number of messages received per poll, so that a flood does not starve the rest of the loop.
const RECEIVE_MAX: usize = 4096;

/// How long rank 0 stays after its last message if it ends without MPI_Finalize: messages that MPI has accepted have
/// not arrived yet. Less than [`LEAVE_PAUSE`]: rank 0 leaves first, so that its exit code is the farm's.
const PARTING_PAUSE: Duration = Duration::from_secs(1);

/// How long rank 0 stays before it ends all ranks with MPI_Abort.
const ABORT_PAUSE: Duration = Duration::from_millis(100);

/// The interval at which sends make progress while there is nothing else to do.
const POLL: Duration = Duration::from_millis(1);

/// How often MPI is checked; a call that lasts for [`LOOKS_MAX`] checks hangs. That is less than the 22 s
/// for which the other ranks wait for a silent rank 0.
const HANG_LOOK: Duration = Duration::from_secs(1);

/// How long MPI_Init may take. With thousands of ranks it may take minutes; if one is killed in the meantime, the
/// others wait for it.
const START_LIMIT: Duration = Duration::from_secs(600);

/// Overrides the limit, in seconds.
const START_LIMIT_VARIABLE: &str = "TASKFARMER_MPI_INIT_LIMIT";

/// For this long after MPI_Init under srun, no rank sends anything. At its end, Open MPI 4.1 relies on a barrier of
/// Slurm's PMIx plug-in, which lets ranks through early: a message that finds a rank still in MPI_Init crashes it.
const SETTLE: Duration = Duration::from_millis(500);

/// Sender and bytes.
type Frame = (u32, Vec<u8>);

struct Sending {
    request: ffi::MPI_Request,
    // MPI reads from it until the request is done; never touched by this program before that.
    _frame: Vec<u8>,
}

#[derive(Default)]
struct Peer {
    in_flight: VecDeque<Sending>,
    waiting: VecDeque<Vec<u8>>,
    broken: bool,
}

/// This rank's end of MPI_COMM_WORLD.
pub struct Mpi {
    comm: ffi::MPI_Comm,
    rank: u32,
    threading: Threading,
    peers: Vec<Peer>,
    /// Peers with sends in progress or waiting.
    busy: BTreeSet<u32>,
    /// Errors to return with the next poll.
    failures: Vec<(u32, String)>,
    /// Nothing is sent before this time.
    quiet_until: Option<Instant>,
    /// Whether this rank has disconnected from PMIx, which MPI_Finalize would need.
    cannot_finalize: bool,
    /// Ensures that no call lasts forever.
    watch: Arc<Watch>,
}

// SAFETY: MPI was asked for MPI_THREAD_SERIALIZED. A handle may then be used by any thread, one at a time, which `&mut`
// ensures; code that moves it to a different thread must ask `may_change_threads` first.
unsafe impl Send for Mpi {}

/// The MPI library, as it describes itself; also works before MPI_Init.
pub fn library_version() -> String {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    // MPICH adds its build options, line by line.
    let text = description();
    let lines: Vec<String> = text.lines().map(words).filter(|line| !line.is_empty()).take(2).collect();
    lines.join(", ")
}

fn check(code: c_int) -> Result<(), String> {
    if code == 0 {
        return Ok(());
    }
    let mut text = [0; 1024];
    let mut len = 0;
    // SAFETY: the buffer is longer than MPI_MAX_ERROR_STRING of the MPIs in use (256 and 512), and remains zeroed after
    // what MPI writes.
    let known = unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &raw mut len) };
    if known != 0 {
        return Err(format!("MPI error {code}"));
    }
    Err(CStr::from_bytes_until_nul(&text)
        .map_or_else(|_| format!("MPI error {code}"), |s| s.to_string_lossy().into_owned()))
}

/// How the loaded library describes itself; also works before MPI_Init.
fn description() -> String {
    mpi::environment::library_version().unwrap_or_default().trim_end_matches('\0').to_owned()
}

/// The loaded library, if it is a known one.
pub(crate) fn library() -> Option<Library> {
    Library::parse(&description())
}

/// The file from which the library was loaded.
pub(crate) fn library_path() -> Option<String> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr takes any address, and fills in the structure if it returns nonzero; the structure then points to
    // a name that the dynamic linker owns and keeps while the library is loaded.
    unsafe {
        if libc::dladdr(ffi::MPI_Get_library_version as *const libc::c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

impl Mpi {
    /// Starts MPI, as the launcher requires. If MPI does not return from a call, `on_hang` is called last and returns
    /// the exit code.
    ///
    /// # Errors
    /// If MPI was started before, or its limit is not a number of seconds. MPI itself ends the process if it cannot
    /// start at all.
    pub fn start(launch: Launch, on_hang: fn() -> i32) -> Result<Self, String> {
        let library = library();
        outlive::prepare(&launch, library.as_ref());
        let start = Watch::start(start_limit()? / LOOKS_MAX, move || exit_now(on_hang()));
        let call = start.enter();
        let started = mpi::initialize_with_threading(Threading::Serialized);
        drop(call);
        let (universe, threading) = started.ok_or_else(|| "MPI was started before".to_owned())?;
        // Dropping it would call MPI_Finalize without a watchdog; see `leave`.
        std::mem::forget(universe);
        let (mut rank, mut size) = (0, 1);
        // SAFETY: MPI is initialized; the predefined handles are valid from then on, the pointers are to integers.
        let comm = unsafe {
            let comm = ffi::RSMPI_COMM_WORLD;
            ffi::MPI_Comm_set_errhandler(comm, ffi::RSMPI_ERRORS_RETURN);
            ffi::MPI_Comm_rank(comm, &raw mut rank);
            ffi::MPI_Comm_size(comm, &raw mut size);
            comm
        };
        let peers = (0..size).map(|_| Peer::default()).collect();
        let rank = u32::try_from(rank).unwrap_or(0);
        let cannot_finalize = outlive::leave_pmix(&launch, library.as_ref());
        let settles = launch.launcher == Launcher::Srun && !is_mpich();
        let quiet_until = settles.then(|| Instant::now() + SETTLE);
        let watch = Watch::start(HANG_LOOK, move || exit_now(on_hang()));
        Ok(Self {
            comm,
            rank,
            threading,
            peers,
            busy: BTreeSet::new(),
            failures: Vec::new(),
            quiet_until,
            cannot_finalize,
            watch,
        })
    }

    /// This rank.
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> u32 {
        u32::try_from(self.peers.len()).unwrap_or(1)
    }

    /// Whether a thread other than the one that started MPI may use it, one at a time.
    pub fn may_change_threads(&self) -> bool {
        matches!(self.threading, Threading::Serialized | Threading::Multiple)
    }

    /// Sends a message to a rank if no send to it is in progress.
    pub fn send_if_idle(&mut self, to: u32, frame: &[u8]) {
        // Sends that have been completed since are still in the table.
        if self.busy.contains(&to) {
            self.push(to);
        }
        if !self.busy.contains(&to) {
            self.send(to, frame.to_vec());
        }
    }

    /// Sends a message in the background. The order per rank is kept. Nothing is sent to a rank whose link is broken.
    pub fn send(&mut self, to: u32, frame: Vec<u8>) {
        let Some(peer) = self.peers.get_mut(to as usize).filter(|peer| !peer.broken) else { return };
        peer.waiting.push_back(frame);
        self.busy.insert(to);
        self.push(to);
    }

    /// Whether messages wait to be taken by MPI or their receivers.
    pub fn is_sending(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Stops sending to a rank that does not respond. MPI may still read the buffers that it was given, so they are
    /// never freed. Sending resumes when the rank responds.
    pub fn give_up(&mut self, rank: u32) {
        if let Some(peer) = self.peers.get_mut(rank as usize) {
            std::mem::forget(std::mem::take(&mut peer.in_flight));
            peer.waiting.clear();
            self.busy.remove(&rank);
        }
    }

    /// Makes progress on sends and takes in what has arrived; `false` if more is waiting.
    pub fn poll(&mut self, incoming: &mut Vec<Incoming>) -> bool {
        let watch = Arc::clone(&self.watch);
        let _call = watch.enter();
        for peer in self.busy.clone() {
            self.push(peer);
        }
        // The first probe after a pause only makes progress; the second one finds a message that this has brought in.
        let mut misses = 0;
        for _ in 0..RECEIVE_MAX {
            match self.receive() {
                Ok(Some((rank, frame))) => {
                    misses = 0;
                    if let Some(peer) = self.peers.get_mut(rank as usize) {
                        peer.broken = false;
                    }
                    incoming.push(Incoming::Frame(rank, frame));
                }
                Ok(None) => misses += 1,
                Err((Some(rank), error)) => self.failures.push((rank, error)),
                Err((None, error)) => {
                    log::debug!("MPI probe: {error}");
                    misses += 1;
                }
            }
            if misses == 2 {
                break;
            }
        }
        incoming.extend(self.failures.drain(..).map(|(rank, error)| Incoming::LinkFailed(rank, error)));
        misses == 2
    }

    fn push(&mut self, to: u32) {
        if self.quiet_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.quiet_until = None;
        let watch = Arc::clone(&self.watch);
        let _call = watch.enter();
        let peer = &mut self.peers[to as usize];
        let result = push_peer(self.comm, to, peer);
        if let Err(error) = result {
            peer.broken = true;
            self.failures.push((to, error));
            self.give_up(to);
        } else if peer.in_flight.is_empty() && peer.waiting.is_empty() {
            self.busy.remove(&to);
        }
    }

    /// One message and its sender. An error includes the sender, if it is known.
    fn receive(&mut self) -> Result<Option<Frame>, (Option<u32>, String)> {
        let mut found = 0;
        let mut message = MaybeUninit::<ffi::MPI_Message>::uninit();
        let mut status = MaybeUninit::<ffi::MPI_Status>::zeroed();
        // SAFETY: all pointers are to memory of the right type. `message` is read only if the probe reports that it
        // found one, `status` is zeroed, which is valid for its integers, or written by MPI.
        unsafe {
            let code = ffi::MPI_Improbe(
                ffi::RSMPI_ANY_SOURCE,
                TAG,
                self.comm,
                &raw mut found,
                message.as_mut_ptr(),
                status.as_mut_ptr(),
            );
            check(code).map_err(|error| (None, error))?;
            if found == 0 {
                return Ok(None);
            }
            let source = u32::try_from(status.assume_init_ref().MPI_SOURCE).ok();
            let mut len: c_int = 0;
            check(ffi::MPI_Get_count(status.as_ptr(), ffi::RSMPI_UINT8_T, &raw mut len))
                .map_err(|error| (source, error))?;
            // A frame that is too long is still received, so that it does not block the queue; the decoder refuses it.
            let room = usize::try_from(len).unwrap_or(0);
            let mut frame = vec![0_u8; room];
            let code = ffi::MPI_Mrecv(
                frame.as_mut_ptr().cast(),
                len,
                ffi::RSMPI_UINT8_T,
                message.as_mut_ptr(),
                ffi::RSMPI_STATUS_IGNORE,
            );
            check(code).map_err(|error| (source, error))?;
            Ok(source.map(|source| (source, frame)))
        }
    }

    /// Leaves MPI and ends the process with this code. Never returns, never hangs.
    ///
    /// `launcher`: how a rank may end without MPI_Finalize depends on it.
    pub fn leave(mut self, how: Leave, code: i32, launcher: Option<Launcher>) -> ! {
        let hangs = self.cannot_finalize || finalize_hangs(self.size());
        let finalizes = how == Leave::Finalize && !hangs;
        if !finalizes {
            // Must happen before the launcher ends this rank.
            shared_memory::remove();
        }
        match (how, self.rank) {
            _ if finalizes => watched(code, || {
                // SAFETY: MPI is initialized and not finalized, and this is the thread that started it.
                unsafe { ffi::MPI_Finalize() };
                // Since 4.2, MPICH disconnects from its launcher and frees its shared memory in an exit handler. MPI
                // may still read from buffers of sends that never completed, so nothing is dropped here.
                std::process::exit(code);
            }),
            (_, 1..) => wait_for_rank_0(),
            // mpirun and mpiexec consider a rank that ends without MPI_Finalize a failure, srun does not. MPI_Abort
            // passes the farm's exit code.
            (Leave::Abandon, 0) if launcher != Some(Launcher::Srun) => self.abort(code),
            (Leave::Finalize, 0) if launcher == Some(Launcher::Hydra) => self.abort(code),
            (_, 0) => self.linger(PARTING_PAUSE),
        }
        std::mem::forget(self);
        exit_now(code)
    }

    /// Ends all ranks; the launcher exits with this code.
    fn abort(&mut self, code: i32) {
        // If Open MPI lets survivors of a loss continue, it waits for them before it obeys the abort.
        if std::env::var_os("OMPI_MCA_orte_enable_recovery").is_some() {
            self.linger(LEAVE_PAUSE + LEAVE_PAUSE / 2);
        }
        // The others need a moment to learn that the farm is over and to clean up.
        self.linger(ABORT_PAUSE);
        // mpiexec ends immediately, and output that it has not read by then is lost.
        last_output::wait_read(PARTING_PAUSE);
        // MPICH would print that the application called MPI_Abort; to a user that looks like an error.
        last_output::silence_stderr();
        let comm = self.comm;
        watched(code, || {
            // SAFETY: as in `leave`; it may hang as well.
            unsafe { ffi::MPI_Abort(comm, code) };
        });
    }

    /// Keeps sends progressing for this long.
    fn linger(&mut self, time: Duration) {
        let ends = Instant::now() + time;
        while Instant::now() < ends {
            self.poll(&mut Vec::new());
            std::thread::sleep(POLL);
        }
    }
}

/// MPICH 4.0 over UCX hangs in MPI_Finalize as soon as there are a few nodes, even if nothing has failed, and its
/// launchers then complain. Newer versions do not hang, but their mpiexec with -disable-auto-cleanup dies of SIGPIPE
/// (47 of 60 runs of a program that does nothing, MPICH 5.0.2 on eight nodes), which only MPI_Abort prevents. It is not
/// known whether libraries that descend from MPICH (such as Cray's) hang, so they get the watchdog like all others.
fn finalize_hangs(size: u32) -> bool {
    is_mpich() && NodePlace::of_this_process().ranks < size
}

/// Whether the library is MPICH itself, as it describes itself.
fn is_mpich() -> bool {
    library().is_some_and(|library| library.name == "MPICH")
}

fn push_peer(comm: ffi::MPI_Comm, to: u32, peer: &mut Peer) -> Result<(), String> {
    while let Some(sending) = peer.in_flight.front_mut() {
        let mut done = 0;
        // SAFETY: the request is one that MPI_Isend returned and no MPI_Test has completed; it is not used again after.
        check(unsafe { ffi::MPI_Test(&raw mut sending.request, &raw mut done, ffi::RSMPI_STATUS_IGNORE) })?;
        if done == 0 {
            break;
        }
        peer.in_flight.pop_front();
    }
    while peer.in_flight.len() < IN_FLIGHT_MAX
        && let Some(frame) = peer.waiting.pop_front()
    {
        let len = c_int::try_from(frame.len()).map_err(|_| format!("frame of {} bytes", frame.len()))?;
        let to = c_int::try_from(to).map_err(|_| format!("no such rank: {to}"))?;
        let mut request = MaybeUninit::uninit();
        // SAFETY: the frame's heap memory neither moves nor changes until the request is done: it is kept in
        // `in_flight`, or leaked by `give_up` and `leave`. The request is valid if the call succeeds.
        let request = unsafe {
            let code =
                ffi::MPI_Isend(frame.as_ptr().cast(), len, ffi::RSMPI_UINT8_T, to, TAG, comm, request.as_mut_ptr());
            check(code)?;
            request.assume_init()
        };
        peer.in_flight.push_back(Sending { request, _frame: frame });
    }
    Ok(())
}

/// How long MPI_Init may take.
fn start_limit() -> Result<Duration, String> {
    let Ok(text) = std::env::var(START_LIMIT_VARIABLE) else { return Ok(START_LIMIT) };
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{START_LIMIT_VARIABLE} is {text:?}, not a number of seconds from 1")),
    }
}
