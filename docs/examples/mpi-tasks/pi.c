/* Computes pi by the midpoint rule. Usage: pi STEPS. Prints steps, ranks, and the result. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    long steps = argc > 1 ? atol(argv[1]) : 1000;
    double part = 0, sum = 0;
    for (long i = rank; i < steps; i += size) {
        double x = (i + 0.5) / steps;
        part += 4 / (1 + x * x) / steps;
    }
    MPI_Reduce(&part, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("%ld %d %.9f\n", steps, size, sum);
    MPI_Finalize();
    return 0;
}
