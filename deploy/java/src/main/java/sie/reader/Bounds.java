package sie.reader;

import static sie.reader.MessageException.require;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.arrow.flatbuf.Buffer;
import org.apache.arrow.flatbuf.DictionaryBatch;
import org.apache.arrow.flatbuf.Endianness;
import org.apache.arrow.flatbuf.Field;
import org.apache.arrow.flatbuf.FixedSizeList;
import org.apache.arrow.flatbuf.FloatingPoint;
import org.apache.arrow.flatbuf.Int;
import org.apache.arrow.flatbuf.KeyValue;
import org.apache.arrow.flatbuf.Message;
import org.apache.arrow.flatbuf.MessageHeader;
import org.apache.arrow.flatbuf.MetadataVersion;
import org.apache.arrow.flatbuf.Precision;
import org.apache.arrow.flatbuf.RecordBatch;
import org.apache.arrow.flatbuf.Schema;
import org.apache.arrow.flatbuf.Type;

/**
 * Whether an Arrow message is what it claims to be, before Arrow allocates or follows anything: whoever may write to a
 * topic may write anything. Arrow trusts lengths, offsets, counts and nesting. So this takes a stream of a schema of
 * plain columns, dictionaries of texts and one record batch, uncompressed, whose buffers lie in the message and are as
 * long as its rows need. The bounds are those of Python's readers, {@code sie_online/ipc.py}.
 */
final class Bounds {
    /** What one message may hold; workers publish at most 1 MB. */
    static final int MOST_BYTES = 32 << 20;

    /** Of a message; one of a worker has at most about 25,000. */
    static final int MOST_ROWS = 1 << 16;

    static final int MOST_COLUMNS = 256;

    /** Values in all rows, some 70 bytes of heap each; a worker's message has 1 MB, and each takes one at least. */
    static final int MOST_CELLS = 1 << 20;

    /** Of names and metadata, each as often as it is named: in a few bytes a schema can name one text many times. */
    private static final int MOST_SCHEMA_BYTES = 1 << 20;

    private static final int CONTINUATION = -1;

    /** How a column lies in buffers: bits of an offset of texts (0: none) and of a value, and how many a list has. */
    private record Column(int offsets, int bits, int items, Long dictionary) {
        static final int NO_LIST = -1;

        boolean isList() {
            return items != NO_LIST;
        }
    }

    /** Nodes and buffers of a batch, in the order in which its columns take them. */
    private static final class Parts {
        final RecordBatch batch;
        final ByteBuffer body;
        int node;
        int buffer;
        long bytes;

        Parts(RecordBatch batch, ByteBuffer body) {
            this.batch = batch;
            this.body = body;
        }

        ByteBuffer next(long least, String what) throws MessageException {
            require(buffer < batch.buffersLength(), "fewer buffers than its columns have");
            Buffer span = batch.buffers(buffer++);
            long first = span.offset();
            long length = span.length();
            require(first >= 0 && length >= 0 && first <= body.limit() && length <= body.limit() - first,
                    "a buffer lies outside of its message");
            require(first % Long.BYTES == 0, "a buffer begins between its words");
            require(length >= least, what + " are fewer than its rows");
            bytes += length;
            return body.slice((int) first, (int) length).order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private final ByteBuffer message;
    private final List<Column> columns = new ArrayList<>();
    private final Map<Long, Column> texts = new HashMap<>();
    private final Map<Long, Long> textBytes = new HashMap<>();
    private boolean hasSchema;
    private boolean hasRows;
    private long bytes;
    private long schemaBytes;

    private Bounds(byte[] message) {
        this.message = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
    }

    static void check(byte[] message) throws MessageException {
        require(message.length <= MOST_BYTES, "more than " + MOST_BYTES + " bytes");
        try {
            new Bounds(message).parts();
        } catch (IndexOutOfBoundsException | IllegalArgumentException | NullPointerException damage) {
            throw new MessageException("its metadata are damaged", damage);
        }
    }

    /** Length of metadata, metadata, body, again and again; a length of 0 is the end. */
    private void parts() throws MessageException {
        int at = 0;
        while (at < message.limit()) {
            require(message.limit() - at >= 8 && message.getInt(at) == CONTINUATION, "no Arrow IPC stream, or cut off");
            int length = message.getInt(at + 4);
            at += 8;
            if (length == 0) {
                break;
            }
            require(length > 0 && length <= message.limit() - at, "its metadata are cut off");
            Message part = Message.getRootAsMessage(message.slice(at, length).order(ByteOrder.LITTLE_ENDIAN));
            at += length;
            require(part.version() >= MetadataVersion.V4, "it is of a version of Arrow that workers never wrote");
            long body = part.bodyLength();
            require(body >= 0 && body <= message.limit() - at, "its body is cut off");
            part(part, message.slice(at, (int) body).order(ByteOrder.LITTLE_ENDIAN));
            at += (int) body;
        }
        require(hasSchema, "it has no schema");
    }

    private void part(Message part, ByteBuffer body) throws MessageException {
        byte kind = part.headerType();
        require(hasSchema == (kind != MessageHeader.Schema), "its schema is not what it begins with");
        switch (kind) {
            case MessageHeader.Schema -> schema((Schema) part.header(new Schema()));
            case MessageHeader.DictionaryBatch ->
                dictionary((DictionaryBatch) part.header(new DictionaryBatch()), body);
            case MessageHeader.RecordBatch -> {
                require(!hasRows, "several record batches in one message");
                hasRows = true;
                rows((RecordBatch) part.header(new RecordBatch()), body);
            }
            default -> throw new MessageException("it holds more than rows");
        }
        require(bytes <= MOST_BYTES, "it unpacks to more than " + MOST_BYTES + " bytes");
    }

    private void schema(Schema schema) throws MessageException {
        hasSchema = true;
        require(schema.endianness() == Endianness.Little, "it is big-endian");
        require(schema.fieldsLength() <= MOST_COLUMNS, "more than " + MOST_COLUMNS + " columns");
        for (int which = 0; which < schema.customMetadataLength(); which++) {
            metadata(schema.customMetadata(which));
        }
        Set<String> names = new HashSet<>();
        for (int which = 0; which < schema.fieldsLength(); which++) {
            Field field = schema.fields(which);
            Column column = column(field);
            require(names.add(field.name()), "two columns of a name");
            columns.add(column);
            if (column.dictionary() != null) {
                texts.put(column.dictionary(), new Column(column.offsets(), Byte.SIZE, Column.NO_LIST, null));
            }
        }
    }

    private Column column(Field field) throws MessageException {
        boolean isList = field.typeType() == Type.FixedSizeList;
        named(field);
        require(field.childrenLength() == (isList ? 1 : 0), "a column of columns");
        if (isList) {
            Field items = field.children(0);
            named(items);
            int size = ((FixedSizeList) field.type(new FixedSizeList())).listSize();
            int bits = numberBits(items);
            require(bits > 1 && size >= 0 && items.childrenLength() == 0, "lists of what is no number");
            require(items.dictionary() == null && field.dictionary() == null, "lists with a dictionary");
            return new Column(0, bits, size, null);
        }
        int offsets = switch (field.typeType()) {
            case Type.Utf8 -> Integer.SIZE;
            case Type.LargeUtf8 -> Long.SIZE;
            default -> 0;
        };
        if (field.dictionary() == null) {
            return new Column(offsets, offsets > 0 ? Byte.SIZE : numberBits(field), Column.NO_LIST, null);
        }
        require(offsets > 0, "a dictionary of what is no text");
        Int index = field.dictionary().indexType();
        int bits = index == null ? Integer.SIZE : width(index);
        return new Column(offsets, bits, Column.NO_LIST, field.dictionary().id());
    }

    private static int numberBits(Field field) throws MessageException {
        return switch (field.typeType()) {
            case Type.Bool -> 1;
            case Type.Int -> width((Int) field.type(new Int()));
            case Type.FloatingPoint -> switch (((FloatingPoint) field.type(new FloatingPoint())).precision()) {
                case Precision.HALF -> Short.SIZE;
                case Precision.SINGLE -> Float.SIZE;
                default -> Double.SIZE;
            };
            default -> throw new MessageException("a column of a type that no message of ours has");
        };
    }

    private static int width(Int type) throws MessageException {
        int bits = type.bitWidth();
        require(bits == 8 || bits == 16 || bits == 32 || bits == 64, "integers of " + bits + " bits");
        return bits;
    }

    private void named(Field field) throws MessageException {
        counted(field.nameAsByteBuffer());
        for (int which = 0; which < field.customMetadataLength(); which++) {
            metadata(field.customMetadata(which));
        }
    }

    private void metadata(KeyValue entry) throws MessageException {
        counted(entry.keyAsByteBuffer());
        counted(entry.valueAsByteBuffer());
    }

    private void counted(ByteBuffer text) throws MessageException {
        schemaBytes += Long.BYTES + text.remaining();
        require(schemaBytes <= MOST_SCHEMA_BYTES, "more than " + MOST_SCHEMA_BYTES + " bytes of names and metadata");
    }

    private void dictionary(DictionaryBatch dictionary, ByteBuffer body) throws MessageException {
        Column column = texts.get(dictionary.id());
        require(column != null && !dictionary.isDelta(), "a dictionary of no column, or a part of one");
        Parts parts = parts(dictionary.data(), body);
        require(dictionary.data().length() <= MOST_ROWS, "a dictionary of more than " + MOST_ROWS + " texts");
        values(column, parts, dictionary.data().length());
        taken(parts);
        textBytes.put(dictionary.id(), parts.bytes);
    }

    private void rows(RecordBatch batch, ByteBuffer body) throws MessageException {
        long rows = batch.length();
        require(rows >= 0 && rows <= MOST_ROWS, "a batch of more than " + MOST_ROWS + " rows");
        Parts parts = parts(batch, body);
        long cells = 0;
        long written = 0; // of dictionaries: a text that every row names
        for (Column column : columns) {
            cells += rows * Math.max(1, column.items());
            require(cells <= MOST_CELLS, "more than " + MOST_CELLS + " values");
            if (column.dictionary() != null) {
                written += rows * textBytes.getOrDefault(column.dictionary(), 0L);
                values(new Column(0, column.bits(), Column.NO_LIST, null), parts, rows);
            } else {
                values(column, parts, rows);
            }
        }
        require(written <= MOST_BYTES, "columns of more than " + MOST_BYTES + " bytes when they are written out");
        taken(parts);
    }

    private static Parts parts(RecordBatch batch, ByteBuffer body) throws MessageException {
        require(batch.compression() == null, "it is compressed, which workers' messages are not");
        return new Parts(batch, body);
    }

    private void taken(Parts parts) throws MessageException {
        require(parts.node == parts.batch.nodesLength() && parts.buffer == parts.batch.buffersLength(),
                "more buffers than its columns have");
        bytes += parts.bytes;
    }

    private static void values(Column column, Parts parts, long rows) throws MessageException {
        nulls(parts, rows);
        if (column.isList()) {
            nulls(parts, rows * column.items());
            parts.next(bytes(rows * column.items() * column.bits()), "values");
        } else if (column.offsets() > 0) {
            texts(column.offsets(), parts, rows);
        } else {
            parts.next(bytes(rows * column.bits()), "values");
        }
    }

    /** A column says how many values it has and how many are null, and a bit of each says whether it is. */
    private static void nulls(Parts parts, long rows) throws MessageException {
        require(parts.node < parts.batch.nodesLength(), "fewer columns than its schema has");
        long length = parts.batch.nodes(parts.node).length();
        long said = parts.batch.nodes(parts.node++).nullCount();
        require(length == rows, "a column of " + length + " values in a batch of " + rows);
        ByteBuffer valid = parts.next(said == 0 ? 0 : bytes(rows), "bits of nulls");
        long found = 0;
        for (int at = 0; valid.limit() > 0 && at < rows; at++) {
            found += 1 - (valid.get(at / Byte.SIZE) >> at % Byte.SIZE & 1);
        }
        require(found == said, "other nulls than it says");
    }

    private static void texts(int offsetBits, Parts parts, long rows) throws MessageException {
        ByteBuffer offsets = parts.next(rows == 0 ? 0 : bytes((rows + 1) * offsetBits), "offsets of texts");
        ByteBuffer letters = parts.next(0, "letters");
        long last = 0;
        for (int at = 0; rows > 0 && at <= rows; at++) {
            long offset =
                    offsetBits == Long.SIZE ? offsets.getLong(Long.BYTES * at) : offsets.getInt(Integer.BYTES * at);
            require(offset >= last && offset <= letters.limit(), "a text lies outside of its column");
            last = offset;
        }
    }

    private static long bytes(long bits) {
        return (bits + Byte.SIZE - 1) / Byte.SIZE;
    }
}
