//! The projects in docs/examples, for the commands of their READMEs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Farm;
use super::farm::collect;

/// Puts a program into the folder `bin` next to the farm's own.
pub(crate) fn put_program(farm: &Farm, name: &str, script: &str) {
    std::fs::create_dir_all(farm.path("../bin")).unwrap();
    farm.write_with_mode(&format!("../bin/{name}"), 0o755, script.as_bytes());
}

/// A farm whose folder has this example where a clone of the repository has it.
pub(crate) fn with_example(farm: Farm, name: &str) -> Farm {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new("docs/examples").join(name);
    let mut entries = Vec::new();
    collect(&project.join(&folder), &mut entries);
    std::fs::create_dir_all(farm.cwd().join(folder)).unwrap();
    for entry in entries {
        let target = entry.path.strip_prefix(project).unwrap().to_str().unwrap();
        if entry.path.is_dir() {
            std::fs::create_dir(farm.path(target)).unwrap();
        } else {
            // Not the mode itself: INI files in a clone that a group can write to would be ignored.
            let mode = std::fs::metadata(&entry.path).unwrap().permissions().mode();
            let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
            farm.write_with_mode(target, mode, &std::fs::read(&entry.path).unwrap());
        }
    }
    farm
}
