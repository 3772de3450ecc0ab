//! The GPUs that tasks of this rank may use.
//!
//! Owns where GPUs are looked for, and their division among the ranks of a node. Names are opaque: a number, a UUID, the
//! name of a MIG instance. Never talks to a driver.
//!
//! Sources: the vendors' documentation of `CUDA_VISIBLE_DEVICES`, `ROCR_VISIBLE_DEVICES`, `HIP_VISIBLE_DEVICES` and
//! `ZE_AFFINITY_MASK`; srun(1) and Slurm's page on generic resources for `SLURM_STEP_GPUS` and `SLURM_JOB_GPUS`.

use std::fs;
use std::path::Path;

use super::cpus::cut;
use super::launcher::NodePlace;

/// The variables by which programs learn their GPUs, by vendor: NVIDIA, AMD, AMD's older one, Intel.
pub(crate) const VARIABLES: [&str; 4] =
    ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"];

const CUDA: &str = VARIABLES[0];
const ROCR: &str = VARIABLES[1];
const HIP: &str = VARIABLES[2];
pub(crate) const ZE: &str = VARIABLES[3];

/// Slurm's lists of the GPUs of a step and of a job. Unlike the variables above, they count all GPUs of the node.
const OF_SLURM: [&str; 2] = ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"];

/// One more that Slurm sets, for OpenCL on GPUs of AMD.
pub(crate) const ORDINAL: &str = "GPU_DEVICE_ORDINAL";

/// Slurm sets one of these if it gives each rank GPUs of its own: the first in the rank, the others in the job.
const SLURM_BINDS: [&str; 6] = [
    "SLURMD_TRES_BIND",
    "SLURM_GPUS_PER_TASK",
    "SLURM_NTASKS_PER_GPU",
    "SLURM_GPU_BIND",
    "SLURM_TRES_BIND",
    "SLURM_TRES_PER_TASK",
];

/// GPUs, and how a program is told which of them are its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Gpus {
    /// Their names, as the variable has them.
    pub(crate) names: Vec<String>,
    /// The variable of their vendor, one of [`VARIABLES`].
    pub(crate) variable: &'static str,
    /// Where they were found.
    pub(crate) source: String,
}

/// The GPUs of this rank. If there are none, what was looked at.
pub(crate) fn of_this_rank(place: NodePlace) -> Result<Gpus, String> {
    let get = |name: &str| std::env::var(name).ok();
    let gpus = find(get, Path::new("/"))?;
    let is_bound = SLURM_BINDS.iter().any(|name| get(name).is_some_and(|value| is_about_gpus(name, &value)));
    Ok(gpus.divided(place, is_bound))
}

/// Slurm's variables for TRES are for resources of any kind.
fn is_about_gpus(name: &str, value: &str) -> bool {
    let is_general = name.contains("TRES");
    !value.is_empty() && value != "none" && (!is_general || value.contains("gpu"))
}

/// Looks at the variables of the vendors and of Slurm, and at the devices below `root`.
fn find(get: impl Fn(&str) -> Option<String>, root: &Path) -> Result<Gpus, String> {
    let devices = devices(root);
    let vendor = devices.as_ref().map(|gpus| gpus.variable);
    // Where all vendors' variables are set, as by a Slurm that does not know the vendor, the devices decide.
    let order = vendor.into_iter().chain(VARIABLES);
    if let Some((variable, list)) = order.filter_map(|name| Some((name, get(name)?))).next() {
        let names = match get(HIP).filter(|_| variable == ROCR) {
            Some(chosen) => chosen_of(&names(&list), &chosen),
            None => names(&list),
        };
        return match names.is_empty() {
            true => Err(format!("{variable} is '{list}': it hides all GPUs")),
            false => Ok(Gpus { names, variable, source: variable.to_owned() }),
        };
    }
    for source in OF_SLURM {
        let names = get(source).map_or_else(Vec::new, |list| names(&list));
        if !names.is_empty() {
            return Ok(Gpus { names, variable: vendor.unwrap_or(CUDA), source: source.to_owned() });
        }
    }
    devices.ok_or_else(|| {
        format!("{}, {} are not set, and {NVIDIA} and {DRM} list no GPU", VARIABLES.join(", "), OF_SLURM.join(", "))
    })
}

/// Names between commas, each once. `NoDevFiles` is what Slurm writes for none, `-1` what users write.
fn names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).take_while(|name| !matches!(*name, "NoDevFiles" | "-1" | "none")) {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// AMD's older variable counts the GPUs that the newer one leaves visible.
fn chosen_of(visible: &[String], chosen: &str) -> Vec<String> {
    let by_number = |name: &String| visible.get(name.parse::<usize>().ok()?).cloned();
    names(chosen).iter().filter_map(by_number).collect()
}

/// Where NVIDIA's driver lists its GPUs.
const NVIDIA: &str = "/proc/driver/nvidia/gpus";

/// Where Linux lists GPUs that can compute.
const DRM: &str = "/sys/class/drm";

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

/// How many GPUs of a vendor, by its PCI number, can compute.
fn of_vendor(root: &Path, number: &str) -> usize {
    let drm = below(root, DRM);
    let is_its = |name: &String| {
        let vendor = fs::read_to_string(drm.join(name).join("device/vendor")).unwrap_or_default();
        name.starts_with("renderD") && vendor.trim() == number
    };
    entries(&drm).filter(is_its).count()
}

fn devices(root: &Path) -> Option<Gpus> {
    let found = [
        (CUDA, NVIDIA, entries(&below(root, NVIDIA)).count().max(of_vendor(root, "0x10de"))),
        (ROCR, DRM, of_vendor(root, "0x1002")),
        (ZE, DRM, of_vendor(root, "0x8086")),
    ];
    let (variable, source, count) = found.into_iter().find(|&(_, _, count)| count > 0)?;
    Some(Gpus { names: (0..count).map(|number| number.to_string()).collect(), variable, source: source.to_owned() })
}

impl Gpus {
    /// The part of a rank. Ranks that have GPUs of their own keep them: if the launcher gave each its own, and if there
    /// are fewer than ranks, which then cannot be all of the node's.
    fn divided(self, place: NodePlace, is_bound: bool) -> Self {
        let (count, ranks, rank) = (self.names.len(), place.ranks.max(1) as usize, place.rank as usize);
        if is_bound || ranks == 1 || count < ranks {
            return self;
        }
        Self { names: self.names[cut(count, ranks, rank)].to_vec(), ..self }
    }

    /// The GPUs of each slot, by what a task asks for in thousandths of a GPU: whole ones, or one that it shares with
    /// the tasks of other slots.
    pub(crate) fn per_slot(&self, slots: u32, asked: u32) -> Vec<String> {
        let each = (asked / crate::demand::WHOLE_GPU) as usize;
        let of_slot = |slot: usize| match each {
            0 => self.names[slot % self.names.len()].clone(),
            _ => self.names[slot * each..(slot + 1) * each].join(","),
        };
        (0..slots as usize).map(of_slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with these variables and these files.
    fn look(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<(&'static str, String), String> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = below(root.path(), path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        find(get, root.path()).map(|gpus| (gpus.variable, gpus.names.join(" ")))
    }

    /// The vendors' variables go before Slurm's lists, and these before the devices.
    #[test]
    fn gpus_are_found() {
        let found = |variable, names: &str| Ok((variable, names.to_owned()));
        assert_eq!(look(&[("CUDA_VISIBLE_DEVICES", "0,1,3")], &[]), found(CUDA, "0 1 3"));
        let uuids = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, MIG-GPU-8932f937/1/0";
        let names = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6 MIG-GPU-8932f937/1/0";
        assert_eq!(look(&[("CUDA_VISIBLE_DEVICES", uuids)], &[]), found(CUDA, names), "names are opaque");
        assert_eq!(look(&[("HIP_VISIBLE_DEVICES", "2")], &[]), found(VARIABLES[2], "2"));
        assert_eq!(look(&[("ROCR_VISIBLE_DEVICES", "4,5"), ("HIP_VISIBLE_DEVICES", "1")], &[]), found(ROCR, "5"));
        assert_eq!(look(&[("CUDA_VISIBLE_DEVICES", "0,1,0")], &[]), found(CUDA, "0 1"), "no GPU counts twice");
        assert_eq!(look(&[("ZE_AFFINITY_MASK", "0.0,0.1")], &[]), found(ZE, "0.0 0.1"));
        assert_eq!(look(&[("SLURM_STEP_GPUS", "2,3"), ("SLURM_JOB_GPUS", "0,1,2,3")], &[]), found(CUDA, "2 3"));
        let nvidia = [
            ("/proc/driver/nvidia/gpus/0000:01:00.0/information", ""),
            ("/proc/driver/nvidia/gpus/0000:02:00.0/information", ""),
        ];
        assert_eq!(look(&[], &nvidia), found(CUDA, "0 1"));
        let amd = [
            ("/sys/class/drm/renderD128/device/vendor", "0x1002\n"),
            ("/sys/class/drm/renderD129/device/vendor", "0x1002\n"),
            ("/sys/class/drm/card0/device/vendor", "0x1002\n"),
        ];
        assert_eq!(look(&[], &amd), found(ROCR, "0 1"));
        assert_eq!(look(&[("SLURM_JOB_GPUS", "0,1")], &amd), found(ROCR, "0 1"));
    }

    /// Slurm sets the variables of all vendors if it does not know which one it is.
    #[test]
    fn the_devices_decide_between_vendors() {
        let all: Vec<_> = VARIABLES.iter().map(|name| (*name, "0,1")).collect();
        let intel = [("/sys/class/drm/renderD128/device/vendor", "0x8086\n")];
        assert_eq!(look(&all, &intel).unwrap().0, ZE);
        assert_eq!(look(&all, &[]).unwrap().0, CUDA);
    }

    /// Without a GPU, the message says what was looked at.
    #[test]
    fn no_gpu_is_explained() {
        for hidden in ["", "-1", "NoDevFiles"] {
            let text = look(&[("CUDA_VISIBLE_DEVICES", hidden)], &[]).unwrap_err();
            assert_eq!(text, format!("CUDA_VISIBLE_DEVICES is '{hidden}': it hides all GPUs"));
        }
        let text = look(&[], &[]).unwrap_err();
        for word in ["CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", NVIDIA, DRM] {
            assert!(text.contains(word), "{text}");
        }
    }

    fn gpus(count: usize) -> Gpus {
        Gpus { names: (0..count).map(|n| n.to_string()).collect(), variable: CUDA, source: String::new() }
    }

    /// No GPU belongs to two ranks, and none is left over; a rank that has its own keeps them.
    #[test]
    fn ranks_of_a_node_share_its_gpus() {
        let parts = |count, ranks, is_bound| -> Vec<String> {
            let part = |rank| gpus(count).divided(NodePlace { rank, ranks }, is_bound).names.join(",");
            (0..ranks).map(part).collect()
        };
        assert_eq!(parts(4, 2, false), ["0,1", "2,3"]);
        assert_eq!(parts(5, 2, false), ["0,1", "2,3,4"]);
        assert_eq!(parts(4, 4, false), ["0", "1", "2", "3"]);
        assert_eq!(parts(1, 4, false), ["0"; 4], "the launcher gave each rank its own");
        assert_eq!(parts(2, 2, true), ["0,1"; 2]);
        assert!(
            is_about_gpus("SLURMD_TRES_BIND", "gpu:per_task:2") && !is_about_gpus("SLURMD_TRES_BIND", "nic:single:1")
        );
        assert!(is_about_gpus("SLURM_GPUS_PER_TASK", "1") && is_about_gpus("SLURM_TRES_PER_TASK", "cpu:4,gres/gpu:1"));
        assert!(!is_about_gpus("SLURM_TRES_PER_TASK", "cpu:4") && !is_about_gpus("SLURM_GPU_BIND", "none"));
    }

    /// Each slot has GPUs of its own, or shares one with as few others as possible.
    #[test]
    fn slots_have_gpus() {
        assert_eq!(gpus(4).per_slot(4, 1_000), ["0", "1", "2", "3"]);
        assert_eq!(gpus(5).per_slot(2, 2_000), ["0,1", "2,3"]);
        assert_eq!(gpus(2).per_slot(4, 500), ["0", "1", "0", "1"]);
        assert_eq!(gpus(3).per_slot(2, 250), ["0", "1"]);
    }
}
