//! The MPI library that the program was built with, and the one that it runs on.
//!
//! Owns the names and versions of MPI libraries and whether two of them are compatible. Never calls MPI: [`super::mpi`]
//! provides the library's description of itself.

/// Libraries of one family are interchangeable, as far as [`Library::runs_on`] allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Open MPI and libraries derived from it.
    OpenMpi,
    /// MPICH and its descendants, which share one binary interface (libmpi.so.12): Intel MPI, Cray MPICH, MVAPICH.
    Mpich,
}

/// An MPI library, as it describes itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    /// Its family.
    pub family: Family,
    /// Its name as users know it.
    pub name: &'static str,
    /// Major and minor version; for Cray MPICH and Intel MPI, their own, not MPICH's.
    pub version: (u32, u32),
    /// Whether it may support PMIx, which Open MPI's launcher uses. MPICH reports how it was configured; for its
    /// descendants, this is not known.
    pub may_speak_pmix: bool,
    full_version: String,
}

/// How each library's text from MPI_Get_library_version begins.
const NAMES: [(&str, Family, &str); 7] = [
    ("Open MPI v", Family::OpenMpi, "Open MPI"),
    ("MPICH Version", Family::Mpich, "MPICH"),
    ("Intel(R) MPI Library", Family::Mpich, "Intel MPI"),
    ("MPI VERSION    : CRAY MPICH", Family::Mpich, "Cray MPICH"),
    ("CRAY MPICH", Family::Mpich, "Cray MPICH"),
    ("MVAPICH2", Family::Mpich, "MVAPICH2"),
    ("MVAPICH", Family::Mpich, "MVAPICH"),
];

impl Library {
    /// Parses the text from MPI_Get_library_version; `None` for an unknown library.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, family, name) = NAMES
            .iter()
            .find_map(|(start, family, name)| Some((text.trim_start().strip_prefix(start)?, *family, *name)))?;
        let rest = rest.lines().next()?.trim_start_matches(|c: char| !c.is_ascii_digit());
        let is_end = |c: char| c.is_whitespace() || c == ',';
        let full_version = rest.split(is_end).next().filter(|version| !version.is_empty())?.to_owned();
        let mut numbers = full_version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let may_speak_pmix = name != "MPICH" || text.contains("--with-pmix");
        Some(Self { family, name, version, may_speak_pmix, full_version })
    }

    /// The library that the program was built with, as the build found it; `None` if it found none.
    pub fn built_with() -> Option<Self> {
        Self::parse(option_env!("TASKFARMER_MPI_BUILT_WITH")?)
    }

    /// The option with which `srun` connects ranks of the program; `None` if it was built without MPI. For an MPI that
    /// the build did not recognize, no option is known: then it is empty.
    pub fn option_of_srun() -> Option<&'static str> {
        let option = match Self::built_with() {
            Some(Self { family: Family::OpenMpi, .. }) => "--mpi=pmix",
            Some(Self { name: "Cray MPICH", .. }) => "--mpi=cray_shasta",
            Some(Self { family: Family::Mpich, .. }) => "--mpi=pmi2",
            None => "",
        };
        cfg!(feature = "mpi").then_some(option)
    }

    /// Whether a program that was built with this library runs on the other one. MPICH and its descendants promise this
    /// to each other for all versions; Open MPI promises it for newer versions.
    pub fn runs_on(&self, other: &Self) -> bool {
        self.family == other.family && (self.family == Family::Mpich || other.version >= self.version)
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.full_version)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn library(text: &str) -> Library {
        Library::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    /// As the libraries describe themselves, and as the build finds them in their headers.
    #[test]
    fn libraries_are_known_by_their_description() {
        for (text, shown, family, version) in [
            ("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4", "Open MPI 4.1.4", Family::OpenMpi, (4, 1)),
            ("Open MPI v5.0.11", "Open MPI 5.0.11", Family::OpenMpi, (5, 0)),
            ("MPICH Version:\t4.0.2\nMPICH Release date: x", "MPICH 4.0.2", Family::Mpich, (4, 0)),
            ("MPICH Version:      5.0.2\n", "MPICH 5.0.2", Family::Mpich, (5, 0)),
            ("Intel(R) MPI Library 2021.19.0 for Linux* OS\n", "Intel MPI 2021.19.0", Family::Mpich, (2021, 19)),
            (
                "MPI VERSION    : CRAY MPICH version 8.1.28.15 (ANL base 3.4a2)\n",
                "Cray MPICH 8.1.28.15",
                Family::Mpich,
                (8, 1),
            ),
            ("MVAPICH2 Version      :\t2.3.7\n", "MVAPICH2 2.3.7", Family::Mpich, (2, 3)),
        ] {
            let found = library(text);
            assert_eq!((found.to_string().as_str(), found.family, found.version), (shown, family, version));
        }
        for unknown in ["", "Open MPI", "MPICH Version: none", "Another MPI 1.0"] {
            assert_eq!(Library::parse(unknown), None, "{unknown}");
        }
    }

    /// A build for Open MPI 5 does not run on Open MPI 4; one for MPICH runs on every descendant.
    #[test]
    fn a_library_may_be_replaced_by_a_newer_one_of_its_family() {
        let libraries =
            ["Open MPI v4.1.4", "Open MPI v5.0.11", "MPICH Version: 4.0.2", "Intel(R) MPI Library 2021.19.0"];
        let [old, new, mpich, intel] = libraries.map(library);
        assert!(old.runs_on(&new) && !new.runs_on(&old) && old.runs_on(&library("Open MPI v4.1.8")));
        assert!(mpich.runs_on(&intel) && intel.runs_on(&mpich));
        assert!(!mpich.runs_on(&old) && !old.runs_on(&mpich));
    }

    /// MPICH can be started by Open MPI's launcher only if it was built for it.
    #[test]
    fn who_speaks_pmix_is_known() {
        assert!(library("Open MPI v5.0.11").may_speak_pmix);
        assert!(library("MPICH Version: 4.2.0\nMPICH configure: --with-pmix=/usr").may_speak_pmix);
        assert!(!library("MPICH Version: 4.0.2\nMPICH configure: --with-pm=hydra:gforker").may_speak_pmix);
    }

    proptest! {
        /// Promise 5: whatever a library reports.
        #[test]
        fn any_library_is_read(text in "((Open MPI v|MPICH Version:|Intel\\(R\\) MPI Library)[ \t]?)?\\PC{0,20}") {
            if let Some(library) = Library::parse(&text) {
                prop_assert!(library.runs_on(&library));
            }
        }
    }
}
