import sys

from demo.launcher import main

sys.exit(main())
