//! The ATLAS handlers of a program that was built without the feature `root`.

use crate::support::Farm;

use super::{dry_run, refused};

/// Promise: where events would have to be counted, the program says what it lacks and what to do, and starts nothing;
/// everything else works as with ROOT.
#[test]
fn only_counting_is_refused() {
    let transform = "[digi]\nTaskList = transform\ntransform = X_tf.py\ninput = HITS\noutput = RDO\n";
    let athena = "[valid]\nTaskList = athena\njobOptions = X.py\noutput = M.root\n";
    for (ini, section) in [(transform, "digi"), (athena, "valid")] {
        let farm = Farm::local(b"# files\na.root\nb.root\n");
        farm.write("atlas.ini", ini.as_bytes());
        assert_eq!(dry_run(&farm, &["--tasklist", section, "tasks.txt"]).len(), 2);
        farm.write("atlas.ini", format!("{ini}maxEventsPerJob = 1000\n").as_bytes());
        let mentioned = ["tasks.txt: line 2:", "a.root", "without support for ROOT", "feature root", "maxEventsPerJob"];
        refused(&farm, &["--tasklist", section], &mentioned);
        farm.write("atlas.ini", format!("{ini}maxEventsPerJob = x\n").as_bytes());
        refused(&farm, &["--tasklist", section], &["atlas.ini", "not a number of events"]);
    }
}
