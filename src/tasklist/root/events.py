# Counts the entries of a tree in ROOT files that taskfarmer-mpi cannot read itself. Started by it:
#   python3 -c THIS TREE < FILE NUL FILE NUL …
# Answers: who counts, NUL, then for each file "ok NUMBER" or "error TEXT", NUL. Exit code 70: nobody can.
import sys

# Nothing of the current folder, which may be anybody's, is asked for: no module, and no .rootrc or .rootlogon.C, which ROOT
# would read.
if sys.path and sys.path[0] == '':
    del sys.path[0]

import os

out = os.fdopen(os.dup(1), 'wb')
os.dup2(2, 1)
tree = sys.argv[1]
files = [os.fsdecode(name) for name in sys.stdin.buffer.read().split(b'\0')[:-1]]
files = [name if '://' in name else os.path.abspath(name) for name in files]
os.chdir('/')

problems = []
try:
    import ROOT
    ROOT.gROOT.SetBatch(True)
    ROOT.gErrorIgnoreLevel = ROOT.kFatal
    who = 'PyROOT ' + ROOT.gROOT.GetVersion()

    def count(name):
        file = ROOT.TFile.Open(name)
        if not file or file.IsZombie():
            raise OSError('ROOT cannot open it')
        found = file.Get(tree)
        if not found or not found.InheritsFrom('TTree'):
            raise KeyError('it has no TTree ' + tree)
        return found.GetEntries()
except Exception as error:
    problems.append('PyROOT: %s' % error)
    try:
        import uproot
        who = 'uproot ' + uproot.__version__

        def count(name):
            with uproot.open({name: None}) as file:
                return file[tree].num_entries
    except Exception as error:
        problems.append('uproot: %s' % error)
        sys.stderr.write('\n'.join(problems) + '\n')
        sys.exit(70)

out.write(who.encode() + b'\0')
for name in files:
    try:
        answer = 'ok %d' % int(count(name))
    except Exception as error:
        answer = 'error ' + ' '.join(str(error).split())[:300]
    out.write(answer.encode('utf-8', 'replace').replace(b'\0', b'') + b'\0')
out.close()
