/* SPDX-License-Identifier: MIT */
#ifndef SHMFD_TABLE_H
#define SHMFD_TABLE_H

/*
 * The table of records, in a memfd that forked children inherit and `shmfd ss`
 * reads.  Created at the first eligible stream.
 * U: used: a record is seen initialised, and free with all its last stores done.
 * M: making: one thread makes the table.
 *
 * Concurrency: allocation is lock-free; any thread, any of the forked
 * processes.
 */
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

static inline struct shmfd_record *shmfd_table_record(uint32_t index)
{
	return &shmfd_table->record[index];
}

#endif
