package sie.reader;

import static sie.reader.MessageException.require;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.BaseIntVector;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float2Vector;
import org.apache.arrow.vector.LargeVarCharVector;
import org.apache.arrow.vector.UInt1Vector;
import org.apache.arrow.vector.UInt2Vector;
import org.apache.arrow.vector.UInt4Vector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.VarCharVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import org.apache.arrow.vector.types.pojo.DictionaryEncoding;

/**
 * The rows of one message of weights or samples, whichever layout it has. A row is a map from column to value, in the
 * contract's order: String, Boolean, Integer, Long, BigInteger (hashes have 64 unsigned bits), Double, null, or a List
 * of Long or Float.
 *
 * <p>Anybody may have written a message. It is taken within bounds ({@link Bounds}), which no message of a worker comes
 * near, as rows of the contract, or not at all.
 */
public final class Rows {
    private static final String LAYOUT = "layout";

    private Rows() {}

    /**
     * Reads one message.
     *
     * @param message the record's value
     * @param allocator has at most some 70 MB of it outside the heap meanwhile, and nothing when this returns
     * @throws MessageException it is no message of rows, and why
     */
    public static List<Map<String, Object>> read(byte[] message, BufferAllocator allocator) throws MessageException {
        require(message != null && message.length > 0, "the message is empty");
        try {
            return message[0] == '{' ? JsonLines.read(message) : fromArrow(message, allocator);
        } catch (MessageException refused) {
            throw refused;
        } catch (IOException | RuntimeException damage) { // Arrow has an exception for every way to be damaged
            throw new MessageException("no message of rows", damage);
        }
    }

    private static List<Map<String, Object>> fromArrow(byte[] message, BufferAllocator allocator) throws IOException {
        Bounds.check(message);
        try (ArrowStreamReader reader = new ArrowStreamReader(new ByteArrayInputStream(message), allocator)) {
            VectorSchemaRoot root = reader.getVectorSchemaRoot();
            reader.loadNextBatch();
            String head = root.getSchema().getCustomMetadata().get(LAYOUT);
            return head == null ? plain(root, reader) : Layout2.unpack(root, head);
        }
    }

    /** Layout 1: the contract's columns as they are. */
    private static List<Map<String, Object>> plain(VectorSchemaRoot root, ArrowStreamReader reader) throws IOException {
        Set<String> names = new LinkedHashSet<>();
        root.getFieldVectors().forEach(column -> names.add(column.getName()));
        Contract contract = Contract.of(names);
        List<Map<String, Object>> rows = new ArrayList<>();
        for (int at = 0; at < root.getRowCount(); at++) {
            rows.add(new LinkedHashMap<>());
        }
        for (FieldVector column : root.getFieldVectors()) {
            DictionaryEncoding encoding = column.getField().getDictionary();
            FieldVector texts = encoding == null ? column : reader.lookup(encoding.getId()).getVector();
            requireType(contract.kind(column.getName()), texts);
            List<Object> values = values(texts);
            for (int at = 0; at < rows.size(); at++) {
                rows.get(at).put(column.getName(), encoding == null ? values.get(at) : picked(values, column, at));
            }
        }
        for (Map<String, Object> row : rows) {
            contract.check(row);
        }
        return rows;
    }

    private static void requireType(Contract.Kind kind, FieldVector column) throws MessageException {
        if (kind != null) {
            boolean isList = column instanceof FixedSizeListVector;
            FieldVector values = isList ? ((FixedSizeListVector) column).getDataVector() : column;
            boolean fits = isList == kind.isList() && values.getMinorType() == kind.type;
            require(fits, "column " + column.getName() + " has values of another type");
        }
    }

    private static Object picked(List<Object> texts, FieldVector indices, int at) throws MessageException {
        if (indices.isNull(at)) {
            return null;
        }
        long index = ((BaseIntVector) indices).getValueAsLong(at);
        require(index >= 0 && index < texts.size(), "a dictionary has no text " + index);
        return texts.get((int) index);
    }

    private static List<Object> values(FieldVector column) throws IOException {
        List<Object> found = new ArrayList<>(column.getValueCount());
        for (int at = 0; at < column.getValueCount(); at++) {
            found.add(column.isNull(at) ? null : value(column, at));
        }
        return found;
    }

    private static Object value(FieldVector column, int at) throws IOException {
        if (column instanceof FixedSizeListVector lists) {
            List<Object> found = new ArrayList<>(lists.getListSize());
            for (int one = at * lists.getListSize(); one < (at + 1) * lists.getListSize(); one++) {
                found.add(lists.getDataVector().isNull(one) ? null : value(lists.getDataVector(), one));
            }
            return found;
        }
        if (column instanceof VarCharVector texts) {
            return text(texts.get(at));
        }
        if (column instanceof LargeVarCharVector texts) {
            return text(texts.get(at));
        }
        if (column instanceof UInt1Vector numbers) {
            return numbers.get(at) & 0xFF;
        }
        if (column instanceof UInt2Vector numbers) {
            return (int) numbers.get(at);
        }
        if (column instanceof Float2Vector numbers) {
            return numbers.getValueAsFloat(at);
        }
        if (column instanceof UInt4Vector numbers) {
            return Integer.toUnsignedLong(numbers.get(at));
        }
        if (column instanceof UInt8Vector hashes) {
            return new BigInteger(Long.toUnsignedString(hashes.get(at)));
        }
        Object found = column.getObject(at);
        return found instanceof Byte small ? Integer.valueOf(small) : found;
    }

    private static String text(byte[] letters) throws IOException {
        return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(letters)).toString();
    }
}
