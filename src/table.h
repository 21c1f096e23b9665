/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_TABLE_H
#define SHMFD_TABLE_H

/*
 * The table of records, in a memfd that forked children inherit and `shmfd ss`
 * reads.  Created at the first eligible stream.
 * U: used: a record is seen initialised, and free with all its last stores done.
 * M: making: one thread makes the table.
 * H: holder_pid, below.
 *
 * Holders.  A record counts the processes that have it; fork counts a child before it exists.
 * One that is killed, or goes on to another program, does not come back to say that it left.
 * So a child locks the byte of the table that has its id as offset (fcntl(2), F_SETLK), which
 * the kernel undoes when it ends, and at exec, which closes the table; then it writes its id
 * into each record that it has.  Who finds an id whose byte nobody has locked takes it out.
 *
 *   child                               another holder
 *   lock the byte                       load id
 *   [H] CAS 0 -> id                     F_GETLK: nobody has the byte
 *   ...                                 [H] CAS id -> 0; done: holders - 1
 *   it leaves by itself:
 *   [H] CAS id -> 0; done: holders - 1
 *
 * Only who succeeds subtracts.  A record has room for a few ids: a child that finds none, or
 * gets no lock, is counted without, as is who made the record; killed, it is never missed.
 *
 * Concurrency: allocation is lock-free; any thread, any of the forked
 * processes.
 */
#include <stdbool.h>

#include "shmfd/layout.h"

/* The table of this process, NULL before the first stream. */
extern struct shmfd_table *shmfd_table;

/*
 * A zeroed record in use, held by this process.  Returns its index or -ENOMEM,
 * -EMFILE, -EFBIG: no table can be made, or it is full; the stream is then not known
 * to us and stays in the kernel.
 */
int shmfd_table_alloc(void);
void shmfd_table_free(uint32_t index);
/* Forked, as @pid: locks its byte.  False: it must not join. */
bool shmfd_table_sign(uint32_t pid);
/* @pid, which got the record by fork, is counted and has signed, is listed in it from now on.
 * False: there was no room. */
bool shmfd_table_join(uint32_t index, uint32_t pid);
/* This process lets go of the record; @joined: the id by which it joined, or 0.  The last one
 * frees it. */
void shmfd_table_leave(uint32_t index, uint32_t joined);
/* Takes out who was listed and is gone.  Concurrency: any threads of a holder. */
void shmfd_table_drop_gone(uint32_t index);

static inline struct shmfd_record *shmfd_table_record(uint32_t index)
{
	return &shmfd_table->record[index];
}

#endif
