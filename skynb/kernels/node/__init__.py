"""The keeper of one kernel: a program of the node that needs pyzmq and ipykernel beside Python >= 3.8."""
